"""Keeps what a login brought, and ends what an earlier one left at the homeserver."""

from __future__ import annotations

import asyncio
import contextlib

import click

from heliograph.accounts import Account, device_name, make_private_folder, save_account, state_folder
from heliograph.cli.login.earlier import Earlier
from heliograph.cli.login.oauth import revoke_quietly
from heliograph.cli.login.ways import OAuthTokens
from heliograph.errors import Refused, ServerError
from heliograph.homeserver.devices import name_device
from heliograph.homeserver.logout import end_token, log_out, remove_pushers
from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint
from heliograph.homeserver.session import Session
from heliograph.ports.secrets import SecretStore
from heliograph.secrets.secret import Secret
from heliograph.secrets.token_file import TokenFile, keep_grant
from heliograph.store.sign_out_file import forget_sign_out

_SETTLING_S = 30.0
"""How long the homeserver may take to remove the pushers of an earlier device, or to end its session."""


async def keep(
    store: SecretStore, account: Account, secret: Secret, tokens: OAuthTokens | None, earlier: Earlier | None
) -> None:
    """Keeps secret, tokens and account.json. account.json last: with that alone, the account would be there and could
    not sign in. Raises UserError or SecretsLocked."""
    # A credential of systemd cannot be written, and need not be where its content stays: what OAuth 2.0 changes with
    # each login is in the token file. Test: test_a_relogin_needs_no_writing_to_the_store.
    is_kept = earlier is not None and earlier.account.secrets == account.secrets and earlier.secret == secret
    if not is_kept:
        await store.save(account.user_id, secret.encode())
    if tokens is not None:
        folder = state_folder(account.user_id)
        await asyncio.to_thread(make_private_folder, folder)
        file = TokenFile(folder, account.user_id, secret.pickle_key)
        # Under the lock, or a daemon's renewal of the earlier tokens would write over these.
        async with file.locked():
            await asyncio.to_thread(file.save, keep_grant(tokens.grant, tokens.asked_ms))
    save_account(account)
    forget_sign_out(account.user_id)


async def undo(session: Session, account: Account, tokens: OAuthTokens | None) -> None:
    """Ends the new device, the tokens of which could not be kept: nobody else ever would."""
    if tokens is not None:
        await revoke_quietly(_endpoint(account), tokens.grant.refresh_token or tokens.grant.access_token)
        return
    with contextlib.suppress(ServerError):
        await log_out(session, account.pushkey)


async def settle(session: Session, account: Account, earlier: Earlier | None) -> None:
    """Ends what the earlier login left at the homeserver, and names the device. The sign-in stands even if that
    fails."""
    if earlier is not None and earlier.account.device_id != account.device_id:
        await _remove_old_pushers(session, earlier.account)
    if account.oauth is None:
        return
    if earlier is not None:
        await _end_earlier_session(earlier)
    # Only now: a server that has ended the device together with its earlier session is found out by that.
    await _name_device(session, account)


async def _end_earlier_session(earlier: Earlier) -> None:
    """Two sessions of one device would live on, and a logout would end one of them."""
    if earlier.account.oauth is not None:
        if earlier.refresh_token:
            await revoke_quietly(_endpoint(earlier.account), earlier.refresh_token)
    elif earlier.is_signed_in and earlier.secret is not None:
        session = Session(earlier.account.homeserver, access_token=earlier.secret.access_token)
        try:
            async with asyncio.timeout(_SETTLING_S):
                await end_token(session)
        except (ServerError, TimeoutError) as error:
            click.echo(
                f"Warning: the older session of this device lives on ({str(error) or 'no answer in time'}). "
                "Another client lists it under your sessions; sign it out there.",
                err=True,
            )
        finally:
            await session.close()


async def _name_device(session: Session, account: Account) -> None:
    try:
        async with asyncio.timeout(_SETTLING_S):
            await name_device(session, account.device_id, device_name())
    except Refused as error:
        if error.status != 404:
            return  # The server lets nobody name devices.
        click.echo(
            "Warning: the homeserver has ended this device together with its older session. "
            f"Sign in once more: heliograph login {account.user_id}",
            err=True,
        )
    except (ServerError, TimeoutError):
        return  # The device keeps the name that the server gave it.


async def _remove_old_pushers(session: Session, old: Account) -> None:
    try:
        async with asyncio.timeout(_SETTLING_S):
            await remove_pushers(session, old.pushkey)
    except (ServerError, TimeoutError) as error:
        click.echo(
            f"Warning: the pusher of the earlier device {old.device_id} may still be there "
            f"({str(error) or 'no answer in time'}). See `heliograph pushers list`.",
            err=True,
        )


def _endpoint(account: Account) -> OAuthTokenEndpoint:
    assert account.oauth is not None
    oauth = account.oauth
    return OAuthTokenEndpoint(oauth.token_endpoint, oauth.revocation_endpoint, oauth.client_id)
