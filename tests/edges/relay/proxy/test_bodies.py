"""Bodies of requests in memory: each bounded, and all of them together."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.bodies import Bodies, Unread
from support.waiting import until

LIMIT = 1_000
LOOPBACK = Proxies([ipaddress.ip_network("127.0.0.1/32")])
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def bodies() -> Bodies:
    return Bodies(LOOPBACK, most=2_000, most_of_client=1_200, seconds=3.0)


@pytest.fixture
async def client(bodies: Bodies) -> AsyncIterator[Client]:
    async def answer(request: web.Request) -> web.Response:
        try:
            async with bodies.read(request, LIMIT) as body:
                return web.json_response({"length": len(body), "held": bodies.held})
        except Unread as unread:
            return unread.refusal()

    application = web.Application()
    application.router.add_post("/", answer)
    async with TestClient(TestServer(application)) as client:
        yield client


async def send(client: Client, body: object, way: str = "192.0.2.1") -> tuple[int, object]:
    async with client.post("/", data=body, headers={"X-Forwarded-For": way}) as response:
        return response.status, await response.json()


async def pieces(*parts: bytes, end: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if end is not None:
        await end.wait()


async def test_a_body_is_read_whole_and_nothing_is_held_of_it_afterwards(client: Client, bodies: Bodies) -> None:
    assert await send(client, b"x" * LIMIT) == (200, {"length": LIMIT, "held": LIMIT})
    assert await send(client, pieces(b"x" * 500, b"x" * 500)) == (200, {"length": LIMIT, "held": LIMIT})
    assert await send(client, b"") == (200, {"length": 0, "held": 0})
    assert bodies.held == 0


async def test_a_body_that_is_too_large_is_not_read(client: Client, bodies: Bodies) -> None:
    for body in (b"x" * (LIMIT + 1), pieces(b"x" * LIMIT, b"x")):
        status, told = await send(client, body)
        assert (status, told) == (413, {"errcode": "M_TOO_LARGE", "error": "The body is too large"})
    assert bodies.held == 0


async def test_a_body_that_never_ends_is_not_waited_for(client: Client, bodies: Bodies) -> None:
    status, _ = await send(client, pieces(b"x", end=asyncio.Event()))
    assert status == 408
    assert bodies.held == 0


async def test_one_client_fills_its_share_and_all_of_them_the_whole(bodies: Bodies, client: Client) -> None:
    end = asyncio.Event()
    try:
        slow = [asyncio.create_task(send(client, pieces(b"x" * 900, end=end), f"192.0.2.{each}")) for each in (1, 2)]
        await until(lambda: bodies.held == 1_800, "two bodies that go on")
        # Of the first client's share 300 are left, of the whole 200.
        for way, size, expected in (("192.0.2.1", 301, 503), ("192.0.2.3", 201, 503), ("192.0.2.3", 100, 200)):
            assert (await send(client, b"x" * size, way))[0] == expected
    finally:
        end.set()
    with_answers = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(each, tuple | aiohttp.ClientError) for each in with_answers)
    assert bodies.held == 0
