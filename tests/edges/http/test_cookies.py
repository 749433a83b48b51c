"""No HTTP client keeps a server's cookies: what one server has set goes to none, not even back to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from heliograph.gateways.push_gateway import PushGateway
from heliograph.gateways.relay import PushRelayClient
from heliograph.homeserver.session import Session
from heliograph.relay.proxy.upstream import Upstream
from heliograph.relay.queue.forwarding import Forwarder
from heliograph.relay.queue.targets import NOTIFY_PATH, TargetPolicy

Ask = Callable[[str], Awaitable[object]]
"""Sends some requests to the server of this URL, over one client."""


class Baker:
    """A server that sets cookies with every answer, for all of its name and for good."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[str | None] = []
        """The cookies of each request."""

    async def answer(self, request: web.Request) -> web.Response:
        self.heard.append(request.headers.get("Cookie"))
        response = web.json_response({"rejected": []})
        response.set_cookie("tracked", "yes", max_age=3600)
        response.headers.add("Set-Cookie", "session=1; Path=/; HttpOnly")
        return response


@pytest.fixture
async def baker() -> AsyncIterator[Baker]:
    baker = Baker()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", baker.answer)
    async with TestServer(application) as server:
        # By name: of an address aiohttp's usual cookie jar keeps no cookies, so that nothing would be shown.
        baker.url = f"http://localhost:{server.port}"
        yield baker


async def _as_usual(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(2):
            async with http.get(url):
                pass


async def _as_client(url: str) -> None:
    session = Session(url)
    for _ in range(2):
        await session.request_json("GET", "/_matrix/client/versions")
    await session.close()


async def _at_a_gateway(url: str) -> None:
    async with PushGateway() as gateway:
        await gateway.ask(url)
        await gateway.push(url, {"notification": {}})


async def _at_a_relay(url: str) -> None:
    async with PushRelayClient(url, "token", "DESK") as client:
        for _ in range(2):
            await client.acknowledge([], 0)


async def _as_proxy(url: str) -> None:
    upstream = Upstream(url)
    for _ in range(2):
        answer = await upstream.open("GET", "/_matrix/client/versions", CIMultiDict())
        answer.release()
    await upstream.ask("GET", "/_matrix/client/versions", {})
    await upstream.close()


async def _with_pushes(url: str) -> None:
    forwarder = Forwarder(TargetPolicy(has_http_loopback=True))
    for _ in range(2):
        await forwarder.send(f"{url}{NOTIFY_PATH}", "phone", b'{"notification": {}}')
    await forwarder.close()


async def test_a_client_as_it_usually_is_sends_cookies_back(baker: Baker) -> None:
    """Shows that the next test can fail."""
    await _as_usual(baker.url)
    assert baker.heard[0] is None
    assert "tracked=yes" in (baker.heard[1] or "")


@pytest.mark.parametrize("ask", [_as_client, _at_a_gateway, _at_a_relay, _as_proxy, _with_pushes])
async def test_no_client_of_ours_sends_a_cookie(baker: Baker, ask: Ask) -> None:
    await ask(baker.url)
    assert len(baker.heard) >= 2
    assert set(baker.heard) == {None}
