from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest

from heliograph.core.oauth.authorization import scope_for
from heliograph.errors import UserError
from heliograph.homeserver.oauth.authorization_code import BrowserAuthorization
from heliograph.homeserver.oauth.metadata import AuthServer
from support.builders import ME


@pytest.fixture
async def sign_in(auth_server: AuthServer) -> AsyncIterator[BrowserAuthorization]:
    async with BrowserAuthorization(auth_server, "01CLIENT", ME, "ABCDEFGHIJKL") as sign_in:
        yield sign_in


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as browser:
        yield browser


def asked(sign_in: BrowserAuthorization) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(sign_in.url).query).items()}


async def come_back(
    browser: aiohttp.ClientSession, sign_in: BrowserAuthorization, more: str = "", host: str = "", **query: str
) -> int:
    """The status with which the browser is received."""
    address = f"{asked(sign_in)['redirect_uri']}?{urlencode({'state': asked(sign_in)['state'], **query})}{more}"
    async with browser.get(address, headers={"Host": host} if host else {}) as page:
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        return page.status


async def test_the_browser_is_asked_for_this_user_and_this_device(sign_in: BrowserAuthorization) -> None:
    query = asked(sign_in)
    assert query["client_id"] == "01CLIENT"
    assert query["scope"] == scope_for("ABCDEFGHIJKL")
    assert query["login_hint"] == f"mxid:{ME}"
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    back = urlsplit(query["redirect_uri"])
    assert (back.scheme, back.hostname, back.path) == ("http", "127.0.0.1", "/callback")
    assert len(query["state"]) > 40
    assert len(query["code_challenge"]) == 43


async def test_each_sign_in_has_a_state_and_a_proof_of_its_own(auth_server: AuthServer) -> None:
    async with (
        BrowserAuthorization(auth_server, "01CLIENT", ME, "ABCDEFGHIJKL") as one,
        BrowserAuthorization(auth_server, "01CLIENT", ME, "ABCDEFGHIJKL") as other,
    ):
        assert asked(one)["state"] != asked(other)["state"]
        assert asked(one)["code_challenge"] != asked(other)["code_challenge"]


async def test_the_code_that_the_browser_brings_is_taken_once(
    sign_in: BrowserAuthorization, browser: aiohttp.ClientSession
) -> None:
    assert await come_back(browser, sign_in, code="first") == 200
    assert await come_back(browser, sign_in, code="second") == 410
    code = await sign_in.code(10)
    assert code.code == "first"
    assert code.redirect_uri == asked(sign_in)["redirect_uri"]
    assert code.verifier not in sign_in.url


async def test_without_the_state_nothing_is_taken(
    sign_in: BrowserAuthorization, browser: aiohttp.ClientSession
) -> None:
    back = asked(sign_in)["redirect_uri"]
    for query in ("?code=evil", "?code=evil&state=guess", "?code=evil&state=", "?code=evil&state=a&state=b", ""):
        async with browser.get(back + query) as page:
            assert page.status == 404
    async with browser.post(f"{back}?{urlencode({'state': asked(sign_in)['state'], 'code': 'evil'})}") as page:
        assert page.status == 404
    assert await come_back(browser, sign_in, code="good") == 200
    assert (await sign_in.code(10)).code == "good"


async def test_a_foreign_name_that_points_here_is_refused(
    sign_in: BrowserAuthorization, browser: aiohttp.ClientSession
) -> None:
    assert await come_back(browser, sign_in, host="evil.example:80", code="evil") == 404


@pytest.mark.parametrize("more", ["&code=b", "&error=access_denied&error=x", "&iss=a&iss=b"])
async def test_a_parameter_that_comes_twice_is_refused(
    sign_in: BrowserAuthorization, browser: aiohttp.ClientSession, more: str
) -> None:
    assert await come_back(browser, sign_in, more, code="a") == 400


@pytest.mark.parametrize("code", ["", "x" * 4097])
async def test_what_is_no_code_is_refused(
    sign_in: BrowserAuthorization, browser: aiohttp.ClientSession, code: str
) -> None:
    assert await come_back(browser, sign_in, code=code) == 400


async def test_a_code_of_another_issuer_ends_the_sign_in(
    sign_in: BrowserAuthorization, browser: aiohttp.ClientSession
) -> None:
    assert await come_back(browser, sign_in, code="mixed up", iss="https://evil.example/") == 200
    with pytest.raises(UserError, match="from another server"):
        await sign_in.code(10)


async def test_the_issuer_has_to_be_named_where_the_server_promises_it(
    auth_server: AuthServer, browser: aiohttp.ClientSession
) -> None:
    promising = dataclasses.replace(auth_server, names_issuer=True)
    async with BrowserAuthorization(promising, "01CLIENT", ME, "ABCDEFGHIJKL") as sign_in:
        assert await come_back(browser, sign_in, code="mixed up") == 200
        with pytest.raises(UserError, match="from another server"):
            await sign_in.code(10)
    async with BrowserAuthorization(promising, "01CLIENT", ME, "ABCDEFGHIJKL") as sign_in:
        assert await come_back(browser, sign_in, code="good", iss=auth_server.issuer) == 200
        assert (await sign_in.code(10)).code == "good"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("access_denied", "cancelled in the browser"),
        ("temporarily_unavailable", "at the moment"),
        ("invalid_scope\x1b", "does not let Heliograph sign in: invalid_scope"),
    ],
)
async def test_what_the_server_says_instead_of_a_code_is_told(
    sign_in: BrowserAuthorization, browser: aiohttp.ClientSession, error: str, sentence: str
) -> None:
    assert await come_back(browser, sign_in, error=error) == 200
    with pytest.raises(UserError, match=sentence) as refusal:
        await sign_in.code(10)
    assert "\x1b" not in refusal.value.title


async def test_a_browser_that_does_not_come_back_is_given_up(sign_in: BrowserAuthorization) -> None:
    with pytest.raises(UserError, match="did not come back"):
        await sign_in.code(0.05)
