"""Whom an access token belongs to, asked as seldom as possible."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from fakes.played_homeserver import PlayedHomeserver
from fakes.scripted_homeserver import DEVICE, TOKEN, USER, ScriptedHomeserver
from heliograph.relay.proxy.callers import KNOWN_MS, MOST_AT_ONCE, Caller, Callers, Unknown
from heliograph.relay.proxy.limits import AT_ONCE, FIRST_WAIT_MS
from heliograph.relay.proxy.upstream import Answer, Upstream
from support.waiting import until


def ask(token: str, query: str = "") -> web.Request:
    return make_mocked_request("GET", f"/{query}", headers={"Authorization": f"Bearer {token}"})


GOOD = ask(TOKEN)


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
    callers = Callers(upstream, clock)
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
    request = make_mocked_request("GET", f"/?access_token={TOKEN}")
    assert await Callers(upstream, Clock()).identify(request) == Caller(USER, DEVICE)


async def test_user_id_in_the_query_is_an_application_services_alone(
    homeserver: ScriptedHomeserver, upstream: Upstream
) -> None:
    callers = Callers(upstream, Clock())
    assert await callers.identify(ask(TOKEN, "?user_id=@x:example.org")) == Caller(USER, DEVICE)
    homeserver.whoami = {"user_id": "@bridge:example.org"}
    assert await callers.identify(ask(TOKEN, "?user_id=@x:example.org"), afresh=True) == Unknown()
    assert await callers.identify(ask(TOKEN)) == Caller("@bridge:example.org", None)


async def test_a_guest_is_nobody_and_asked_about_no_more_often_than_others(
    homeserver: ScriptedHomeserver, upstream: Upstream
) -> None:
    homeserver.whoami = {"user_id": USER, "device_id": DEVICE, "is_guest": True}
    callers = Callers(upstream, Clock())
    assert [await callers.identify(GOOD) for _ in range(3)] == [Unknown()] * 3
    assert len(homeserver.requests) == 1
    callers.forget(USER)


async def test_a_wrong_token_is_asked_about_ever_more_rarely_and_a_good_one_beside_it_at_once(
    homeserver: ScriptedHomeserver, upstream: Upstream
) -> None:
    clock = Clock()
    callers = Callers(upstream, clock)
    for _ in range(40):
        assert isinstance(await callers.identify(ask("wrong")), Unknown)
    assert len(homeserver.requests) == AT_ONCE
    assert await callers.identify(GOOD) == Caller(USER, DEVICE)
    clock.now_ms += FIRST_WAIT_MS
    for _ in range(3):
        await callers.identify(ask("wrong"))
    assert len(homeserver.requests) == AT_ONCE + 2
    # Whoever sets a pusher is asked about in any case: the token may have become a good one.
    await callers.identify(ask("wrong"), afresh=True)
    assert len(homeserver.requests) == AT_ONCE + 3


async def test_of_many_wrong_tokens_none_slows_a_good_one(homeserver: ScriptedHomeserver, upstream: Upstream) -> None:
    callers = Callers(upstream, Clock())
    for number in range(50):
        assert isinstance(await callers.identify(ask(f"wrong-{number}")), Unknown)
    assert await callers.identify(GOOD) == Caller(USER, DEVICE)


class SlowHomeserver(ScriptedHomeserver):
    """Says whose a token is only when a test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        await self.may_answer.wait()
        return await PlayedHomeserver._answer(self, request)


async def test_so_many_are_asked_about_at_once_and_the_others_in_turn() -> None:
    async with SlowHomeserver() as homeserver:
        upstream = Upstream(homeserver.url)
        callers = Callers(upstream, Clock())
        requests = [ask(f"token-{number}") for number in range(3 * MOST_AT_ONCE)]
        asking = [asyncio.create_task(callers.identify(request)) for request in requests]
        await until(lambda: len(homeserver.requests) == MOST_AT_ONCE, "the first questions")
        # Who sets a pusher need not wait for everybody else.
        setting = asyncio.create_task(callers.identify(GOOD, afresh=True))
        await until(lambda: len(homeserver.requests) == MOST_AT_ONCE + 1, "the question out of turn")
        asking[-1].cancel()
        homeserver.may_answer.set()
        assert await setting == Caller(USER, DEVICE)
        await asyncio.wait(asking)
        assert len(homeserver.requests) == 3 * MOST_AT_ONCE
        await upstream.close()


async def test_requests_of_one_token_that_come_at_once_ask_once_more_at_most() -> None:
    async with SlowHomeserver() as homeserver:
        upstream = Upstream(homeserver.url)
        callers = Callers(upstream, Clock())
        asking = [asyncio.create_task(callers.identify(GOOD)) for _ in range(3 * MOST_AT_ONCE)]
        await until(lambda: len(homeserver.requests) == MOST_AT_ONCE, "the first questions")
        homeserver.may_answer.set()
        assert await asyncio.gather(*asking) == [Caller(USER, DEVICE)] * len(asking)
        assert len(homeserver.requests) == MOST_AT_ONCE
        await upstream.close()


async def test_those_who_were_asked_about_together_are_asked_about_again_one_by_one(
    homeserver: ScriptedHomeserver, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask_as_if_known(*_: object, **__: object) -> Answer:
        asked.append(clock.now_ms)
        return Answer(200, b'{"user_id": "@me:example.org", "device_id": "DESKTOP"}')

    asked: list[int] = []
    clock = Clock()
    callers = Callers(upstream, clock)
    monkeypatch.setattr(upstream, "ask", ask_as_if_known)
    requests = [ask(f"token-{number}") for number in range(100)]
    for second in range(0, KNOWN_MS // 1000, 10):
        clock.now_ms = second * 1000
        for request in requests:
            await callers.identify(request)
    again = Counter(asked[len(requests) :])
    assert min(again) >= KNOWN_MS // 2
    assert max(again.values()) < len(requests) // 4
