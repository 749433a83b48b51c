"""A homeserver that signs in by OAuth 2.0, and takes the older ways beside it: a real Synapse with an auth server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from conftest import Home
from heliograph.accounts import Account, find_account, save_account
from heliograph.core.ids import UserId
from heliograph.demo.user import request
from heliograph.errors import Refused
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret
from support.auth_server.server import AuthServer
from support.guarded_synapse import GuardedSynapse
from system.command import Ended, heliograph

PASSWORDS = {"wendy": "the browser's", "pia": "piped in", "otto": "of OAuth", "lea": "lasts on"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def auth_server() -> AsyncIterator[AuthServer]:
    with AuthServer(PASSWORDS) as auth_server:
        async with GuardedSynapse(settings=auth_server.synapse_settings) as synapse:
            auth_server.homeserver_url = synapse.base_url
            yield auth_server


@dataclass(frozen=True)
class Person:
    """A user of that homeserver."""

    auth_server: AuthServer
    localpart: str

    @property
    def user_id(self) -> UserId:
        return UserId(f"@{self.localpart}:localhost")

    async def log_in(self, *options: str, typed: str = "") -> Ended:
        words = ("login", self.user_id, "--homeserver", self.auth_server.url, "--secrets", "file", *options)
        return await heliograph(*words, typed=typed)

    async def grant(self, device_id: str, *, is_oauth: bool) -> str:
        """An access token of a new device."""
        return await self.auth_server.grant(self.localpart, device_id, is_oauth=is_oauth)

    async def whoami(self, access_token: str) -> str:
        """The device of an access token. Raises Refused."""
        url = f"{self.auth_server.url}/_matrix/client/v3/account/whoami"
        return str((await request("GET", url, token=access_token))["device_id"])


def open_browser(folder: Path, user: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An xdg-open that fills in the form of the page which it is given."""
    program = folder / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "from urllib.parse import urlencode\n"
        "from urllib.request import urlopen\n"
        "urlopen(sys.argv[1]).read()\n"
        f"urlopen(sys.argv[1], urlencode({{'user': {user!r}, 'password': {password!r}}}).encode()).read()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":99")


@pytest.mark.expected_log("homeserver 401 GET .*/account/whoami", times=(1, 5))
async def test_the_browser_signs_in_without_a_question_and_logout_ends_what_it_says(
    auth_server: AuthServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    wendy = Person(auth_server, "wendy")
    open_browser(tmp_path, "wendy", PASSWORDS["wendy"], monkeypatch)
    ended = await wendy.log_in()
    assert ended.code == 0, ended.errors
    assert "password" not in (ended.output + ended.errors).lower()
    assert auth_server.older.sso_actions == ["login"]
    tokens = auth_server.sessions.access_tokens.items()
    (access_token,) = (token for token, given in tokens if given.session.localpart == "wendy")
    account = await asyncio.to_thread(find_account, wendy.user_id)
    assert account is not None
    assert await wendy.whoami(access_token) == account.device_id

    ended = await heliograph("logout", wendy.user_id)
    assert ended.output == f"Signed out of {wendy.user_id}. Nothing of it is left on this machine.\n", ended.errors
    with pytest.raises(Refused) as refusal:
        await wendy.whoami(access_token)
    assert refusal.value.status == 401


async def test_a_password_is_taken_from_standard_input(auth_server: AuthServer, home: Home) -> None:
    ended = await Person(auth_server, "pia").log_in("--password-stdin", typed=f"{PASSWORDS['pia']}\n")
    assert ended.code == 0, ended.errors


async def test_an_oauth_token_is_refused_and_one_that_lasts_is_taken(auth_server: AuthServer, home: Home) -> None:
    lea = Person(auth_server, "lea")
    short, lasting = await lea.grant("SHORTLIVED", is_oauth=True), await lea.grant("LONGLIVED1", is_oauth=False)
    refused = await lea.log_in("--access-token-stdin", typed=short)
    assert refused.code == 1
    assert "looks like an access token of OAuth 2.0" in refused.errors
    assert await lea.whoami(short) == "SHORTLIVED"
    ended = await lea.log_in("--access-token-stdin", typed=lasting)
    assert ended.code == 0, ended.errors
    assert "device LONGLIVED1" in ended.output


@pytest.mark.expected_log("nobody confirmed that the device OTTOSDESK1 has ended")
async def test_an_oauth_token_of_before_is_not_called_signed_out_while_it_lives(
    auth_server: AuthServer, home: Home
) -> None:
    otto = Person(auth_server, "otto")
    access_token = await otto.grant("OTTOSDESK1", is_oauth=True)
    await keep(
        Account(
            user_id=otto.user_id, device_id="OTTOSDESK1", homeserver=auth_server.url, secrets="file", pushkey="otto"
        ),
        access_token,
    )
    ended = await heliograph("logout", otto.user_id)
    assert ended.code == 1
    assert "did not confirm that the device has ended, so all is kept here" in ended.errors
    assert await otto.whoami(access_token) == "OTTOSDESK1"
    forced = await heliograph("logout", otto.user_id, "--force")
    assert forced.code == 0
    assert "nobody confirmed that the device OTTOSDESK1 has ended" in forced.errors
    assert "Signed out" not in forced.output


async def keep(account: Account, access_token: str) -> None:
    """Keeps the account as a version of Heliograph did that took every access token."""
    await asyncio.to_thread(save_account, account)
    secret = Secret(access_token=access_token, pickle_key="test")
    await open_secrets("file").save(account.user_id, secret.encode())
