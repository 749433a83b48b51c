from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from heliograph.errors import UserError
from heliograph.homeserver.session import Session
from heliograph.homeserver.sso import BrowserSignIn


@pytest.fixture
async def sign_in() -> AsyncIterator[BrowserSignIn]:
    session = Session("https://matrix.example.org")
    async with BrowserSignIn(session) as sign_in:
        yield sign_in
    await session.close()


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as browser:
        yield browser


def way_back(sign_in: BrowserSignIn) -> str:
    return parse_qs(urlsplit(sign_in.url).query)["redirectUrl"][0]


async def test_the_browser_is_sent_to_the_homeserver_and_back_to_loopback(sign_in: BrowserSignIn) -> None:
    assert sign_in.url.startswith("https://matrix.example.org/_matrix/client/v3/login/sso/redirect?redirectUrl=")
    back = urlsplit(way_back(sign_in))
    assert (back.scheme, back.hostname) == ("http", "127.0.0.1")
    assert len(back.path) > 40


async def test_the_server_is_told_that_the_user_wants_to_sign_in(sign_in: BrowserSignIn) -> None:
    query = parse_qs(urlsplit(sign_in.url).query)
    assert query["action"] == query["org.matrix.msc3824.action"] == ["login"]


async def test_the_token_that_the_browser_brings_is_taken(
    sign_in: BrowserSignIn, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(way_back(sign_in) + "?loginToken=abc") as page:
        assert page.status == 200
        assert "abc" not in await page.text()
        assert page.headers["Referrer-Policy"] == "no-referrer"
    assert await sign_in.login_token(10) == "abc"


async def test_only_the_first_token_counts(sign_in: BrowserSignIn, browser: aiohttp.ClientSession) -> None:
    async with browser.get(way_back(sign_in) + "?loginToken=first"):
        pass
    async with browser.get(way_back(sign_in) + "?loginToken=second") as page:
        assert page.status == 410
    assert await sign_in.login_token(10) == "first"


@pytest.mark.parametrize("query", ["", "?loginToken=", "?loginToken=a&loginToken=b", "?loginToken=" + "a" * 8193])
async def test_what_is_no_token_is_refused_and_the_wait_goes_on(
    sign_in: BrowserSignIn, browser: aiohttp.ClientSession, query: str
) -> None:
    async with browser.get(way_back(sign_in) + query) as page:
        assert page.status >= 400
    async with browser.get(way_back(sign_in) + "?loginToken=abc"):
        pass
    assert await sign_in.login_token(10) == "abc"


async def test_a_page_that_does_not_know_the_path_cannot_slip_in_a_token(
    sign_in: BrowserSignIn, browser: aiohttp.ClientSession
) -> None:
    root = way_back(sign_in).rpartition("/")[0]
    for path in ("/", "/guess", "//", "/%2e"):
        async with browser.get(root + path + "?loginToken=evil") as page:
            assert page.status == 404


async def test_a_foreign_name_that_points_here_is_refused(
    sign_in: BrowserSignIn, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(way_back(sign_in) + "?loginToken=evil", headers={"Host": "evil.example.org"}) as page:
        assert page.status == 404


async def test_a_post_is_refused(sign_in: BrowserSignIn, browser: aiohttp.ClientSession) -> None:
    async with browser.post(way_back(sign_in) + "?loginToken=evil") as page:
        assert page.status == 404


async def test_a_browser_that_never_comes_back_is_given_up(sign_in: BrowserSignIn) -> None:
    with pytest.raises(UserError, match="did not come back"):
        await sign_in.login_token(0.05)


async def test_nothing_listens_afterwards(browser: aiohttp.ClientSession) -> None:
    session = Session("https://matrix.example.org")
    async with BrowserSignIn(session) as sign_in:
        pass
    await session.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await browser.get(way_back(sign_in))


async def test_garbage_on_the_socket_does_not_end_the_wait(
    sign_in: BrowserSignIn, browser: aiohttp.ClientSession
) -> None:
    port = urlsplit(way_back(sign_in)).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x00\xff" * 1000 + b"\r\n\r\n")
    await reader.read()
    writer.close()
    async with browser.get(way_back(sign_in) + "?loginToken=abc"):
        pass
    assert await sign_in.login_token(10) == "abc"
