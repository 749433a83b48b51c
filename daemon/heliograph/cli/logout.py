"""`heliograph logout`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from heliograph.cli.input.user_id import UserIdType
from heliograph.cli.output.patience import saying
from heliograph.errors import (
    EXIT_CONFIG,
    SecretsLocked,
    ServerError,
    StorageError,
    Unreachable,
    UserError,
)
from heliograph.system.service_manager import to_stop

if TYPE_CHECKING:
    from heliograph.accounts import Account
    from heliograph.ports.secrets import SecretStore


ENDING_S = 60.0
"""How long the homeserver may take to end the device, and to switch on again what was switched off."""


@click.command("logout", short_help="Sign out, and remove everything of an account.")
@click.argument("user_id", type=UserIdType(), metavar="@USER:SERVER")
@click.option("--force", is_flag=True, help="Remove what is here even if the server or the keyring cannot be reached.")
def command(user_id: str, force: bool) -> None:
    """End the device on the homeserver, and remove its pusher, its keys and everything kept here.

    \b
    Example:
      heliograph logout @alice:example.org
    """
    is_all_gone = asyncio.run(_sign_out(user_id, force))
    click.echo(f"Signed out of {user_id}.{' Nothing of it is left on this machine.' if is_all_gone else ''}")


async def _sign_out(user_id: str, force: bool) -> bool:
    """Returns True if nothing is left here. Once the device has ended, nothing keeps the rest from being removed."""
    from heliograph.accounts import remove_account
    from heliograph.secrets import open_secrets

    account = await _account_at_rest(user_id)
    store = open_secrets(account.secrets, on_prompt=_say_prompt)
    is_locked = False
    try:
        await _end(account, store)
    except (ServerError, StorageError, SecretsLocked, UserError) as error:
        if not force:
            raise _not_ended(user_id, error) from error
        is_locked = isinstance(error, SecretsLocked)
        click.echo(
            f"Warning: the device {account.device_id} was not ended ({error}). "
            "Remove it in another client, under its sessions.",
            err=True,
        )
    try:
        if is_locked:
            # The user has just refused to unlock the keyring, or was away: not asked once more.
            raise SecretsLocked("the keyring is locked")
        await store.delete(user_id)
    except (SecretsLocked, UserError) as error:
        click.echo(f"Warning: the access token stays in the {store.name} ({error}).", err=True)
        return False
    finally:
        # Removed even if the token stays: the user is told of that, and a listed account would only be half there.
        remove_account(user_id)
    return True


async def _account_at_rest(user_id: str) -> Account:
    """The account, for which no daemon runs. Raises UserError."""
    from heliograph.accounts import find_account, state_folder
    from heliograph.store.lock import is_held

    account = find_account(user_id)
    if account is None:
        raise UserError(
            f"{user_id} is not signed in on this machine.", "See `heliograph accounts`.", exit_code=EXIT_CONFIG
        )
    if (pid := is_held(state_folder(user_id))) is not None:
        raise UserError(
            f"Heliograph is running for {user_id}{f' (process {pid})' if pid else ''}.",
            f"Stop it first: {await asyncio.to_thread(to_stop, pid)}",
        )
    return account


def _say_prompt() -> None:
    from heliograph.secrets.secret_service import PROMPT_S

    click.echo(
        f"The keyring is locked. Unlock it where it asks you, within {PROMPT_S:.0f} s, or stop this with Ctrl-C: "
        "then you stay signed in.",
        err=True,
    )


def _not_ended(user_id: str, error: Exception) -> UserError:
    cure = "Unlock the keyring, and run this again" if isinstance(error, SecretsLocked) else "Try again later"
    return UserError(
        f"The device was not ended, and you stay signed in: {str(error).removesuffix('.')}.",
        f"{cure}, or remove only what is here: heliograph logout {user_id} --force",
    )


async def _end(account: Account, store: SecretStore) -> None:
    """Ends the device, unless its access token is gone. Raises ServerError, StorageError, SecretsLocked, UserError."""
    async with saying(f"Waiting for the {store.name} to give the access token ..."):
        # May wait long: a locked keyring asks the user for its password.
        text = await store.load(account.user_id)
    if text is None:
        return
    async with saying(f"Waiting for {account.homeserver} to end the device, for {ENDING_S:g} s at most ..."):
        try:
            async with asyncio.timeout(ENDING_S):
                # First, while the access token still works.
                await _give_back(account)
                await _end_device(account.user_id, account.homeserver, account.pushkey, text)
        except TimeoutError:
            raise Unreachable("the homeserver did not answer in time") from None


async def _give_back(account: Account) -> None:
    """Switches on again what a daemon that was killed had switched off. Only the ledger knows of that, and the ledger
    is about to be deleted."""
    from heliograph.cli.handoff.give_back import give_back

    try:
        await give_back(account)
    except UserError:
        return  # The device is gone, or the ledger cannot be read.


async def _end_device(user_id: str, homeserver: str, pushkey: str, text: str) -> None:
    from heliograph.homeserver.login import log_out
    from heliograph.homeserver.session import Session
    from heliograph.secrets.secret import decode_secret

    session = Session(homeserver, access_token=decode_secret(user_id, text).access_token)
    try:
        await log_out(session, pushkey)
    finally:
        await session.close()
