"""Whom an access token belongs to, asked as seldom as possible."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from fakes.scripted_homeserver import AUTHORIZATION, DEVICE, USER, ScriptedHomeserver
from heliograph.relay.proxy.callers import BURST, KNOWN_MS, REFILL_MS, Caller, Callers, Unknown
from heliograph.relay.proxy.upstream import Upstream

HERE, THERE = "192.0.2.1", "192.0.2.2"


def ask(address: str, **headers: str) -> web.Request:
    """A request that came from this address."""
    return make_mocked_request("GET", "/", headers={**headers, "From": address})


def address_of(request: web.Request) -> str:
    return request.headers.get("From", HERE)


GOOD = ask(HERE, **AUTHORIZATION)


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
async def homeserver() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as server:
        yield server


@pytest.fixture
async def upstream(homeserver: ScriptedHomeserver) -> AsyncIterator[Upstream]:
    upstream = Upstream(homeserver.url)
    yield upstream
    await upstream.close()


async def test_a_known_token_is_asked_for_once_in_a_while(homeserver: ScriptedHomeserver, upstream: Upstream) -> None:
    clock = Clock()
    callers = Callers(upstream, address_of, clock)
    for _ in range(3):
        assert await callers.identify(GOOD) == Caller(USER, DEVICE)
    assert len(homeserver.requests) == 1
    clock.now_ms += KNOWN_MS
    await callers.identify(GOOD)
    await callers.identify(GOOD, afresh=True)
    assert len(homeserver.requests) == 3
    callers.forget(USER)
    await callers.identify(GOOD)
    assert len(homeserver.requests) == 4


async def test_a_token_in_the_query_is_one_too(upstream: Upstream) -> None:
    token = AUTHORIZATION["Authorization"].removeprefix("Bearer ")
    request = make_mocked_request("GET", f"/?access_token={token}")
    assert await Callers(upstream, address_of, Clock()).identify(request) == Caller(USER, DEVICE)


async def test_an_application_service_is_nobody(homeserver: ScriptedHomeserver, upstream: Upstream) -> None:
    request = make_mocked_request("GET", "/?user_id=@x:example.org", headers=AUTHORIZATION)
    assert await Callers(upstream, address_of, Clock()).identify(request) == Unknown()
    assert homeserver.requests == []


async def test_an_address_may_be_wrong_only_so_often(homeserver: ScriptedHomeserver, upstream: Upstream) -> None:
    clock = Clock()
    callers = Callers(upstream, address_of, clock)

    async def guess(number: int, address: str) -> bool:
        caller = await callers.identify(ask(address, Authorization=f"Bearer guess-{number}"))
        assert isinstance(caller, Unknown)
        return caller.is_limited

    assert [await guess(number, HERE) for number in range(BURST + 2)] == [False] * BURST + [True] * 2
    assert len(homeserver.requests) == BURST
    assert not await guess(0, THERE)
    assert await callers.identify(ask(THERE, **AUTHORIZATION)) == Caller(USER, DEVICE)
    clock.now_ms += REFILL_MS
    assert not await guess(0, HERE)
    assert await guess(0, HERE)
