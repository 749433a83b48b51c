"""Signing in and out by OAuth 2.0, as a person does it: a real Synapse, a real Chromium, and an auth server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from conftest import Home
from heliograph.accounts import device_name, find_account, list_accounts, state_folder
from heliograph.errors import Refused
from support.auth_server.server import AuthServer
from support.chromium import BrowserPage, Chromium
from support.waiting import until
from system.command import heliograph
from system.person import Desktop, Person


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as chromium:
        yield chromium


@pytest.fixture
async def page(chromium: Chromium) -> AsyncIterator[BrowserPage]:
    async with chromium.page() as page:
        yield page


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    return Desktop(tmp_path, monkeypatch)


ENDED_TOKEN = pytest.mark.expected_log("homeserver 401 GET", times=(1, 6))


@ENDED_TOKEN
async def test_a_person_signs_in_and_out_with_a_browser(
    auth_server: AuthServer, desktop: Desktop, page: BrowserPage, home: Home
) -> None:
    bea = Person(auth_server, "bea")
    url = desktop.note_urls()
    login = asyncio.create_task(bea.log_in())
    await page.open(await url())
    assert await page.value("user") == "bea"
    await page.fill("password", bea.password)
    await page.click("allow")
    assert "You can close this page." in await page.read("Heliograph goes on in the terminal")
    ended = await login
    assert ended.code == 0, ended.errors
    account = await bea.account()
    assert f"Signed in as {bea.user_id}, device {account.device_id}." in ended.output

    (access_token,) = bea.tokens()
    assert await bea.whoami(access_token) == account.device_id
    assert (await bea.devices(access_token))[account.device_id] == device_name()
    assert account.oauth is not None
    assert account.oauth.issuer == f"{auth_server.url}/"
    kept = {file.name: file.read_bytes() for file in state_folder(bea.user_id).iterdir()}
    assert json.loads(kept["secret.json"]).keys() == {"pickle_key"}
    for secret in auth_server.secrets_seen:
        assert secret not in ended.output + ended.errors
        assert not any(secret.encode() in content for content in kept.values())

    again = await bea.log_in()
    assert again.code == 1
    assert "is signed in already" in again.errors

    out = await heliograph("logout", bea.user_id)
    assert out.output == f"Signed out of {bea.user_id}. Nothing of it is left on this machine.\n", out.errors
    with pytest.raises(Refused):
        await bea.whoami(access_token)
    assert auth_server.sessions.of("bea") == []
    assert "POST /oauth2/revoke" in auth_server.calls


async def test_a_person_cancels_in_the_browser(
    auth_server: AuthServer, desktop: Desktop, page: BrowserPage, home: Home
) -> None:
    carl = Person(auth_server, "carl")
    url = desktop.note_urls()
    login = asyncio.create_task(carl.log_in())
    await page.open(await url())
    await page.click("cancel")
    await page.read("Not signed in")
    ended = await login
    assert ended.code == 1
    assert "The sign-in was cancelled in the browser." in ended.errors
    assert await asyncio.to_thread(find_account, carl.user_id) is None


async def test_a_machine_without_a_display_shows_a_code_for_the_browser_of_another(
    auth_server: AuthServer, page: BrowserPage, home: Home
) -> None:
    dora = Person(auth_server, "dora")
    login = asyncio.create_task(dora.log_in())
    code = await until(lambda: next((each for each in auth_server.oauth.codes.values() if each.user_code), None))
    await page.open(f"{auth_server.url}/link")
    await page.fill("code", code.user_code)
    await page.fill("user", "dora")
    await page.fill("password", dora.password)
    await page.click("allow")
    await page.read("You can go back to the other machine.")
    ended = await login
    assert ended.code == 0, ended.errors
    assert f"  {auth_server.url}/link\n" in ended.output
    assert f"and enter this code there: {code.user_code}" in ended.output
    assert (await dora.account()).oauth is not None


async def test_a_code_is_shown_on_a_desktop_too_and_may_be_refused_elsewhere(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    emil = Person(auth_server, "emil")
    login = asyncio.create_task(emil.log_in("--device-code"))
    code = await until(lambda: next((each for each in auth_server.oauth.codes.values() if each.user_code), None))
    code.localpart, code.is_denied = "emil", True
    ended = await login
    assert ended.code == 1
    assert "cancelled in the browser" in ended.errors
    assert await asyncio.to_thread(find_account, emil.user_id) is None


async def test_who_signs_in_as_somebody_else_is_signed_out_again(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    fay, gus = Person(auth_server, "fay"), Person(auth_server, "gus")
    desktop.sign_in_as(gus)
    ended = await fay.log_in()
    assert ended.code == 1
    assert f"That signs in {gus.user_id}, not {fay.user_id}." in ended.errors
    assert "change the account in the browser first" in ended.errors
    assert len(gus.tokens()) == 1
    assert auth_server.sessions.of("gus") == []
    assert await asyncio.to_thread(list_accounts) == []


async def test_another_device_than_the_one_asked_for_is_signed_out_again(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    hal = Person(auth_server, "hal")
    desktop.sign_in_as(hal)
    auth_server.oauth.device_given = "NOTASKEDFOR"
    ended = await hal.log_in()
    assert ended.code == 1
    assert "signed in another device than the one that was asked for" in ended.errors
    assert auth_server.sessions.of("hal") == []


async def test_a_code_of_another_issuer_is_not_redeemed(auth_server: AuthServer, desktop: Desktop, home: Home) -> None:
    ida = Person(auth_server, "ida")
    desktop.sign_in_as(ida)
    auth_server.oauth.issuer_sent = "https://evil.example/"
    ended = await ida.log_in()
    assert ended.code == 1
    assert "came back from another server" in ended.errors
    assert "POST /oauth2/token" not in auth_server.calls


async def test_several_accounts_are_signed_in_beside_one_another(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    jim, kay = Person(auth_server, "jim"), Person(auth_server, "kay")
    for person in (jim, kay):
        desktop.sign_in_as(person)
        assert (await person.log_in()).code == 0
    listed = json.loads((await heliograph("accounts", "--json")).output)
    assert [each["user_id"] for each in listed] == [jim.user_id, kay.user_id]
    issuer, device_id = f"{auth_server.url}/", (await kay.account()).device_id
    page = f"{auth_server.url}/account/?action=org.matrix.device_view&device_id={device_id}"
    assert listed[1]["sign_in"].items() >= {"issuer": issuer, "account_page": page}.items()
    assert listed[1]["sign_in"]["token_until_ms"] > 1_700_000_000_000
    for words in (("accounts",), ("status",), ("doctor",)):
        told = (await heliograph(*words)).output
        assert f"by OAuth 2.0 at {issuer}, with an access token until " in told
        assert page in told


@ENDED_TOKEN
async def test_a_device_that_was_signed_out_comes_back_with_its_keys(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    lou = Person(auth_server, "lou")
    desktop.sign_in_as(lou)
    assert (await lou.log_in()).code == 0
    before = await lou.account()
    secret = (state_folder(lou.user_id) / "secret.json").read_bytes()
    await auth_server.end_sessions("lou")
    ended = await lou.log_in()
    assert ended.code == 0, ended.errors
    assert (await lou.account()) == before
    assert (state_folder(lou.user_id) / "secret.json").read_bytes() == secret
    assert list(await lou.devices(lou.tokens()[-1])) == [before.device_id]


async def test_a_device_of_the_older_way_changes_when_its_user_asks_for_that(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    mia = Person(auth_server, "mia")
    assert (await mia.log_in("--password-stdin", typed=f"{mia.password}\n")).code == 0
    before, (lasting,) = await mia.account(), mia.tokens()
    told = await mia.log_in()
    assert told.code == 1
    assert "in the older way. Its homeserver signs in by OAuth 2.0 now." in told.errors
    assert f"heliograph login {mia.user_id} --device-code" in told.errors

    login = asyncio.create_task(mia.log_in("--device-code"))
    code = await until(lambda: next((each for each in auth_server.oauth.codes.values() if each.user_code), None))
    code.localpart = "mia"
    ended = await login
    assert ended.code == 0, ended.errors
    assert "Warning" not in ended.errors
    after = await mia.account()
    assert (after.device_id, after.pushkey) == (before.device_id, before.pushkey)
    assert after.oauth is not None
    assert await mia.whoami(mia.tokens()[-1]) == before.device_id
    assert list(await mia.devices(mia.tokens()[-1])) == [before.device_id]
    assert auth_server.sessions.find(lasting) is None


@pytest.mark.expected_log("nobody confirmed that the device .* has ended")
async def test_a_logout_that_nobody_confirms_names_the_page_that_ends_the_device(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    nia = Person(auth_server, "nia")
    desktop.sign_in_as(nia)
    assert (await nia.log_in()).code == 0
    device_id = (await nia.account()).device_id
    page = f"{auth_server.url}/account/?action=org.matrix.device_delete&device_id={device_id}"
    auth_server.fail("revoke", "503", times=2)
    kept = await heliograph("logout", nia.user_id)
    assert kept.code == 1
    assert "did not confirm that the device has ended, so all is kept here" in kept.errors
    assert page in kept.errors
    assert await nia.whoami(nia.tokens()[-1]) == device_id
    forced = await heliograph("logout", nia.user_id, "--force")
    assert forced.code == 0
    assert page in forced.errors
    assert "Signed out" not in forced.output


@ENDED_TOKEN
async def test_the_session_of_a_locked_account_is_ended_all_the_same(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    oz = Person(auth_server, "oz")
    desktop.sign_in_as(oz)
    assert (await oz.log_in()).code == 0
    await auth_server.lock("oz")
    out = await heliograph("logout", oz.user_id)
    assert out.output.startswith("Signed out of"), out.errors
    assert auth_server.sessions.of("oz") == []


async def test_a_server_that_ends_a_session_when_a_refresh_token_comes_twice_ends_it_softly(
    auth_server: AuthServer, desktop: Desktop, home: Home
) -> None:
    pat = Person(auth_server, "pat")
    desktop.sign_in_as(pat)
    auth_server.sessions.is_strict, auth_server.sessions.told_ttl_s = True, 0.01
    assert (await pat.log_in()).code == 0
    auth_server.fail("token", "lose")
    lost = await heliograph("pushers", "list")
    assert lost.code != 0
    assert "cannot be renewed" in lost.errors
    ended = await heliograph("pushers", "list")
    assert ended.code == 77
    assert f"heliograph login {pat.user_id}" in ended.errors
    assert (state_folder(pat.user_id) / "secret.json").exists()
