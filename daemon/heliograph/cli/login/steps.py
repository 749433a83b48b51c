"""Signs an account in, step by step: looks at what is there, finds the homeserver, proves who the user is, and keeps
the result."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from typing import Literal

import click

from heliograph.accounts import Account, Secrets, device_name, find_account, save_account
from heliograph.core.ids import UserId
from heliograph.core.value_type import value_type
from heliograph.errors import EXIT_USAGE, LoggedOut, SecretsLocked, ServerError, UserError
from heliograph.homeserver.discovery import check_homeserver, find_homeserver
from heliograph.homeserver.flows import Flow, OfferedFlows, login_flows
from heliograph.homeserver.login import (
    Device,
    log_in_with_password,
    log_in_with_token,
    recognise,
    refuse_oauth_token,
)
from heliograph.homeserver.logout import log_out, remove_pushers
from heliograph.homeserver.session import Session
from heliograph.homeserver.sso import BrowserSignIn
from heliograph.ports.secrets import SecretStore
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret, decode_secret
from heliograph.store.sign_out_file import forget_sign_out

_BROWSER_S = 600.0
_PUSHERS_S = 30.0
"""How long the homeserver may take to remove the pushers of an earlier device."""


@value_type
class _Before:
    """What an earlier login of the same user left behind."""

    account: Account
    secret: Secret | None
    is_device_kept: bool
    """True if the device still exists on the server (soft logout)."""


class SignIn:
    """One login. `proof` is the password or the access token, if one was piped in."""

    def __init__(
        self,
        user_id: UserId,
        homeserver: str | None,
        secrets_kind: Secrets | None,
        how: Literal["ask", "sso", "password", "token"],
        proof: str,
    ) -> None:
        self._user_id = user_id
        self._homeserver = homeserver
        self._secrets_kind = secrets_kind
        self._how = how
        self._proof = proof

    async def run(self) -> Account:
        """Signs in. Returns the account, the secret and account.json of which are kept by then. Raises UserError."""
        try:
            return await self._run()
        except SecretsLocked as error:
            raise UserError(
                f"The keyring cannot be used: {error}.",
                "Unlock it, or keep the access token in a file that only you can read: "
                f"heliograph login {self._user_id} --secrets file",
            ) from error

    async def _run(self) -> Account:
        before = await self._look_back()
        kind: Secrets = self._secrets_kind or (before.account.secrets if before else "keyring")
        store = open_secrets(kind)
        # Asked for nothing but its errors: a store that cannot be used is better told before the password is typed.
        await store.load(self._user_id)
        session = Session(await self._find_homeserver(before))
        try:
            device = await self._prove(session, before)
            # A pusher belongs to the device that set it, also when another device sets it again: with the old pushkey,
            # a relay would wait for the old device for ever.
            # Test: test_a_new_device_takes_a_new_pushkey_and_the_old_pusher_goes.
            is_new = before is None or before.account.device_id != device.device_id
            account = Account(
                user_id=device.user_id,
                device_id=device.device_id,
                homeserver=session.homeserver_url,
                secrets=kind,
                pushkey=before.account.pushkey if before and not is_new else secrets.token_urlsafe(24),
            )
            secret = Secret(
                access_token=device.access_token,
                pickle_key=before.secret.pickle_key if before and before.secret else secrets.token_urlsafe(32),
                relay_token=before.secret.relay_token if before and before.secret else "",
            )
            await self._keep(store, account, secret, session)
            if before and is_new:
                await _remove_old_pushers(session, before.account)
        finally:
            await session.close()
        # Only after the new secret is kept: until then the old one is all there is.
        if before and before.account.secrets != kind:
            await open_secrets(before.account.secrets).delete(self._user_id)
        return account

    async def _look_back(self) -> _Before | None:
        """What an earlier login left behind; None: this is the first. Raises UserError if the user is signed in."""
        account = find_account(self._user_id)
        if account is None:
            return None
        text = await open_secrets(account.secrets).load(self._user_id)
        if text is None:
            return _Before(account, None, is_device_kept=False)
        try:
            secret = decode_secret(self._user_id, text)
        except UserError:
            return _Before(account, None, is_device_kept=False)
        # Any error but LoggedOut ends the login: whether the old device lives must not be guessed.
        session = Session(account.homeserver, access_token=secret.access_token)
        try:
            await recognise(session, self._user_id)
        except LoggedOut as gone:
            return _Before(account, secret, is_device_kept=gone.soft)
        finally:
            await session.close()
        raise UserError(
            f"{self._user_id} is signed in already, as device {account.device_id}.",
            f"To sign in anew: heliograph logout {self._user_id}",
        )

    async def _find_homeserver(self, before: _Before | None) -> str:
        if self._homeserver is not None:
            return await check_homeserver(self._homeserver)
        if before is not None:
            return await check_homeserver(before.account.homeserver)
        return await find_homeserver(self._user_id.partition(":")[2])

    async def _prove(self, session: Session, before: _Before | None) -> Device:
        device_id = before.account.device_id if before and before.is_device_kept else None
        name = device_name()
        if self._how == "token":
            await refuse_oauth_token(session, self._user_id, self._proof)
            # A piped token may be anybody's: whoami says whose it is, and of which device.
            session.sign_in(access_token=self._proof, user_id=self._user_id, device_id="")
            try:
                return await recognise(session, self._user_id)
            except LoggedOut:
                raise UserError(
                    "The server does not know this access token.",
                    f"Get a fresh one, or sign in without: heliograph login {self._user_id}",
                ) from None
        # The server's ways of signing in are asked first, so that nobody types a password that it does not take.
        offered = await login_flows(session)
        if self._is_by_password(session.homeserver_url, offered):
            password = self._proof if self._how == "password" else await _ask_password(self._user_id)
            return await log_in_with_password(session, self._user_id, password, device_name=name, device_id=device_id)
        async with BrowserSignIn(session) as browser:
            _open_browser(browser.url)
            if Flow.PASSWORD in offered.flows and not _has_display():
                click.echo(f"Without a browser: heliograph login {self._user_id} --password-stdin")
            token = await browser.login_token(_BROWSER_S)
        return await log_in_with_token(session, self._user_id, token, device_name=name, device_id=device_id)

    def _is_by_password(self, homeserver_url: str, offered: OfferedFlows) -> bool:
        if self._how == "password" and Flow.PASSWORD not in offered.flows:
            raise UserError(
                f"{homeserver_url} takes no passwords.", "Leave out --password-stdin, to sign in in the browser."
            )
        if self._how == "sso" and Flow.SSO not in offered.flows:
            raise UserError(f"{homeserver_url} has no sign-in in the browser.", "Leave out --sso.")
        # Where single sign-on is preferred, nobody is asked for a password that the user may not have.
        # Test: test_no_password_is_asked_for_where_the_server_prefers_the_browser.
        return self._how == "password" or (
            self._how == "ask" and Flow.PASSWORD in offered.flows and not offered.prefers_sso
        )

    async def _keep(self, store: SecretStore, account: Account, secret: Secret, session: Session) -> None:
        """Keeps secret and account.json. The secret first: with an account.json alone, the account would be there and
        could not sign in."""
        try:
            await store.save(account.user_id, secret.encode())
            save_account(account)
            forget_sign_out(account.user_id)
        except BaseException:
            # Nobody would ever sign out a new device whose token is lost. The device of a token that the user gave
            # existed before, and is not ours to end.
            if self._how != "token":
                with contextlib.suppress(ServerError):
                    await log_out(session, account.pushkey)
            raise


async def _remove_old_pushers(session: Session, old: Account) -> None:
    """Removes the pushers that the earlier device left behind. The sign-in stands even if that fails."""
    try:
        async with asyncio.timeout(_PUSHERS_S):
            await remove_pushers(session, old.pushkey)
    except (ServerError, TimeoutError) as error:
        click.echo(
            f"Warning: the pusher of the earlier device {old.device_id} may still be there "
            f"({str(error) or 'no answer in time'}). See `heliograph pushers list`.",
            err=True,
        )


async def _ask_password(user_id: str) -> str:
    if not sys.stdin.isatty():
        raise UserError(
            "There is no terminal to ask for the password.",
            "Pipe it in with --password-stdin, or use --sso.",
            exit_code=EXIT_USAGE,
        )
    password: str = click.prompt(f"Password of {user_id}", hide_input=True, err=True)
    return password


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(url: str) -> None:
    click.echo("Sign in in the browser on this machine. If none opens, visit:")
    click.echo(f"  {url}")
    opener = shutil.which("xdg-open")
    # Without a display, xdg-open would start a text browser in this very terminal.
    if opener is None or not _has_display():
        return
    silence = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    with contextlib.suppress(OSError):
        # Not a subprocess of asyncio, which would end the browser together with this command.
        # Browsers write to the terminal for as long as they run, so its streams are closed to them.
        os.posix_spawn(opener, [opener, url], os.environ, file_actions=silence, setsid=True)
