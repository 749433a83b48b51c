"""Signs an account in, step by step: looks at what is there, finds the homeserver, proves who the user is, and keeps
the result."""

from __future__ import annotations

import secrets

import click

from heliograph.accounts import Account, Secrets
from heliograph.cli.login.access_token import take_access_token
from heliograph.cli.login.change import offer_change
from heliograph.cli.login.earlier import Earlier, look_back
from heliograph.cli.login.keeping import keep, settle, undo
from heliograph.cli.login.oauth import sign_in_by_oauth
from heliograph.cli.login.older_ways import sign_in_in_older_way
from heliograph.cli.login.ways import Proven, Way
from heliograph.core.ids import UserId
from heliograph.core.oauth.authorization import is_device_id, make_device_id
from heliograph.errors import SecretsLocked, UserError
from heliograph.homeserver.discovery import check_homeserver, find_homeserver
from heliograph.homeserver.flows import ask_auth_server
from heliograph.homeserver.session import Session
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret


class SignIn:
    """One login. `typed` is the password or the access token, if one was piped in."""

    def __init__(
        self, user_id: UserId, homeserver: str | None, secrets_kind: Secrets | None, way: Way, typed: str
    ) -> None:
        self._user_id = user_id
        self._homeserver = homeserver
        self._secrets_kind = secrets_kind
        self._way = way
        self._typed = typed

    async def run(self) -> Account:
        """Signs in. Returns the account, the secret and account.json of which are kept by then. Raises UserError."""
        try:
            return await self._run()
        except SecretsLocked as error:
            raise UserError(
                f"The keyring cannot be used: {error}.",
                "Unlock it, or keep the account's secret in a file that only you can read: "
                f"heliograph login {self._user_id} --secrets file",
            ) from error

    async def _run(self) -> Account:
        earlier = await look_back(self._user_id)
        if earlier is not None and earlier.is_signed_in:
            await offer_change(earlier, self._way)
        kind: Secrets = self._secrets_kind or (earlier.account.secrets if earlier else "keyring")
        store = open_secrets(kind)
        # Asked for nothing but its errors: a store that cannot be used is better told before the user signs in.
        await store.load(self._user_id)
        session = Session(await self._find_homeserver(earlier))
        try:
            proven = await self._prove(session, earlier)
            account = self._account(proven, session.homeserver_url, kind, earlier)
            try:
                await keep(store, account, _secret(proven, earlier), proven.tokens, earlier)
            except BaseException:
                # The device of a token that the user gave existed before, and is not ours to end.
                if self._way is not Way.ACCESS_TOKEN:
                    await undo(session, account, proven.tokens)
                raise
            await settle(session, account, earlier)
        finally:
            await session.close()
        # Only after the new secret is kept: until then the old one is all there is.
        if earlier and earlier.account.secrets != kind:
            await open_secrets(earlier.account.secrets).delete(self._user_id)
        return account

    async def _find_homeserver(self, earlier: Earlier | None) -> str:
        if self._homeserver is not None:
            return await check_homeserver(self._homeserver)
        if earlier is not None:
            return await check_homeserver(earlier.account.homeserver)
        return await find_homeserver(self._user_id.partition(":")[2])

    async def _prove(self, session: Session, earlier: Earlier | None) -> Proven:
        if self._way is Way.ACCESS_TOKEN:
            return await take_access_token(session, self._user_id, self._typed)
        server = await ask_auth_server(session)
        if server is not None and not self._way.is_older:
            return await sign_in_by_oauth(session, server, self._user_id, _oauth_device_id(earlier), way=self._way)
        if server is not None:
            click.echo(
                f"{session.homeserver_url} signs in by OAuth 2.0. This signs in in its older way, with an access token "
                "that lasts until you sign out.",
                err=True,
            )
        elif self._way is Way.DEVICE_CODE:
            raise UserError(
                f"{session.homeserver_url} does not sign in by OAuth 2.0, which alone has codes to enter elsewhere.",
                "Leave out --device-code.",
            )
        device_id = earlier.account.device_id if earlier and earlier.is_device_kept else None
        return await sign_in_in_older_way(session, self._user_id, device_id, way=self._way, password=self._typed)

    def _account(self, proven: Proven, homeserver: str, kind: Secrets, earlier: Earlier | None) -> Account:
        device = proven.device
        # A pusher belongs to the device that set it, also when another device sets it again: with the old pushkey, a
        # relay would wait for the old device for ever.
        # Test: test_a_new_device_takes_a_new_pushkey_and_the_old_pusher_goes.
        is_new = earlier is None or earlier.account.device_id != device.device_id
        return Account(
            user_id=device.user_id,
            device_id=device.device_id,
            homeserver=homeserver,
            secrets=kind,
            pushkey=earlier.account.pushkey if earlier and not is_new else secrets.token_urlsafe(24),
            oauth=proven.tokens.oauth if proven.tokens else None,
        )


def _oauth_device_id(earlier: Earlier | None) -> str:
    """The device's id: that of the earlier login, with whose keys the device goes on; a new one if the secret is lost
    that opens these, or if OAuth 2.0 has no such ids. That the homeserver has forgotten a device is no hindrance: it
    comes back with the same id. Test: test_a_device_that_was_signed_out_comes_back_with_its_keys."""
    if earlier is not None and earlier.secret is not None and is_device_id(earlier.account.device_id):
        return earlier.account.device_id
    return make_device_id(secrets.token_bytes(12))


def _secret(proven: Proven, earlier: Earlier | None) -> Secret:
    old = earlier.secret if earlier else None
    return Secret(
        access_token="" if proven.tokens else proven.device.access_token,
        pickle_key=old.pickle_key if old else secrets.token_urlsafe(32),
        relay_token=old.relay_token if old else "",
    )
