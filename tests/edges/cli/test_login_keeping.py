from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from heliograph.accounts import Account, OAuth, find_account, save_account, state_folder
from heliograph.cli.login.earlier import Earlier
from heliograph.cli.login.keeping import keep
from heliograph.cli.login.ways import OAuthTokens
from heliograph.core.oauth.token_answer import TokenGrant
from heliograph.errors import UserError
from heliograph.secrets.secret import Secret
from heliograph.secrets.token_file import TokenFile
from heliograph.store.sign_out_file import SignOut, note_sign_out, sign_out_of
from support.builders import ME

OAUTH = OAuth(
    issuer="https://auth.example.org/",
    client_id="01CLIENT",
    token_endpoint="https://auth.example.org/oauth2/token",
    revocation_endpoint="https://auth.example.org/oauth2/revoke",
)
SECRET = Secret(pickle_key="the key")


def account() -> Account:
    return Account(
        user_id=ME,
        device_id="ABCDEFGHIJKL",
        homeserver="https://matrix.example.org",
        secrets="keyring",
        pushkey="key",
        oauth=OAUTH,
    )


def tokens(number: int) -> OAuthTokens:
    return OAuthTokens(OAUTH, TokenGrant(f"mat_{number}", f"mar_{number}", 300.0), 1_700_000_000_000)


class Store:
    """A store of secrets that can be made read-only, as a credential of systemd is."""

    name = "keyring"

    def __init__(self) -> None:
        self.kept: str | None = None
        self.is_writable = True

    async def load(self, user_id: str) -> str | None:
        return self.kept

    async def wait_unlocked(self, user_id: str) -> None: ...

    async def save(self, user_id: str, secret: str) -> None:
        if not self.is_writable:
            raise UserError("The secret is a credential of systemd.", "Change the unit.")
        self.kept = secret

    async def delete(self, user_id: str) -> None:
        self.kept = None


def kept_tokens() -> Any:
    kept = TokenFile(state_folder(ME), ME, SECRET.pickle_key).load()
    assert kept is not None
    return kept


def test_the_store_gets_no_token_that_changes() -> None:
    store = Store()
    asyncio.run(keep(store, account(), SECRET, tokens(1), None))
    assert json.loads(str(store.kept)) == {"pickle_key": "the key"}
    assert kept_tokens().refresh_token == "mar_1"
    assert find_account(ME) == account()


def test_a_relogin_needs_no_writing_to_the_store() -> None:
    store = Store()
    asyncio.run(keep(store, account(), SECRET, tokens(1), None))
    note_sign_out(account(), SignOut.SOFTLY)
    store.is_writable = False
    asyncio.run(keep(store, account(), SECRET, tokens(2), Earlier(account(), SECRET, is_device_kept=True)))
    assert kept_tokens().refresh_token == "mar_2"
    assert sign_out_of(account()) is None


def test_a_secret_that_changes_has_to_be_kept_before_the_account_is() -> None:
    store = Store()
    store.is_writable = False
    with pytest.raises(UserError, match="credential of systemd"):
        asyncio.run(
            keep(store, account(), SECRET, tokens(1), Earlier(account(), Secret(access_token="old", pickle_key="x")))
        )
    assert find_account(ME) is None
    save_account(account())
    assert not (state_folder(ME) / "tokens").exists()
