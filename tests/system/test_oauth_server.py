"""A homeserver that signs in by OAuth 2.0, and takes the older ways beside it: a real Synapse with an auth server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conftest import Home
from heliograph.accounts import Account, save_account
from heliograph.errors import Refused
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret
from support.auth_server.server import AuthServer
from system.command import heliograph
from system.person import Desktop, Person

REMARK = "signs in by OAuth 2.0. This signs in in its older way, with an access token that lasts"


@pytest.mark.expected_log("homeserver 401 GET .*/account/whoami", times=(1, 5))
async def test_the_older_way_in_the_browser_is_taken_with_a_remark_and_logout_ends_what_it_says(
    auth_server: AuthServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    wendy = Person(auth_server, "wendy")
    Desktop(tmp_path, monkeypatch).sign_in_as(wendy)
    ended = await wendy.log_in("--sso")
    assert ended.code == 0, ended.errors
    assert "password" not in (ended.output + ended.errors).lower()
    assert REMARK in ended.errors
    assert auth_server.older.sso_actions == ["login"]
    (access_token,) = wendy.tokens()
    assert access_token.startswith("mct_")
    assert await wendy.whoami(access_token) == (await wendy.account()).device_id

    ended = await heliograph("logout", wendy.user_id)
    assert ended.output == f"Signed out of {wendy.user_id}. Nothing of it is left on this machine.\n", ended.errors
    with pytest.raises(Refused) as refusal:
        await wendy.whoami(access_token)
    assert refusal.value.status == 401


async def test_a_password_is_taken_from_standard_input_with_a_remark(auth_server: AuthServer, home: Home) -> None:
    pia = Person(auth_server, "pia")
    ended = await pia.log_in("--password-stdin", typed=f"{pia.password}\n")
    assert ended.code == 0, ended.errors
    assert REMARK in ended.errors
    assert (await pia.account()).oauth is None


async def test_an_oauth_token_is_refused_and_one_that_lasts_is_taken(auth_server: AuthServer, home: Home) -> None:
    lea = Person(auth_server, "lea")
    short = await auth_server.grant(lea.localpart, "SHORTLIVED", is_oauth=True)
    lasting = await auth_server.grant(lea.localpart, "LONGLIVED1", is_oauth=False)
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
    access_token = await auth_server.grant(otto.localpart, "OTTOSDESK1", is_oauth=True)
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
