"""The relay ends while requests wait for news."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from heliograph.relay.proxy.goodbye import Goodbye, empty_answer

SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/_matrix/client/v3/sync?since=s1&timeout=30000", {"next_batch": "s1"}),
        ("GET", "/_matrix/client/r0/sync?timeout=30000&since=s%3A1", {"next_batch": "s:1"}),
        ("POST", f"{SLIDING}?pos=5&timeout=30000", {"pos": "5", "lists": {}, "rooms": {}, "extensions": {}}),
        # The first one is not to be answered with nothing, and one that does not wait is answered soon.
        ("GET", "/_matrix/client/v3/sync?timeout=30000", None),
        ("GET", "/_matrix/client/v3/sync?since=s1", None),
        ("GET", "/_matrix/client/v3/sync?since=s1&timeout=0", None),
        ("POST", SLIDING, None),
        ("GET", "/_matrix/client/v3/rooms/!r/messages?since=s1&timeout=30000", None),
    ],
)
def test_only_a_request_that_waits_and_has_a_place_can_be_answered_with_nothing(
    method: str, target: str, expected: object
) -> None:
    assert empty_answer(make_mocked_request(method, target)) == expected


async def test_a_restart_answers_waiting_polls_with_their_own_since() -> None:
    goodbye, asked, go_on = Goodbye(), asyncio.Semaphore(0), asyncio.Event()

    async def wait_for_news(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if "begun" in request.query:
            await response.prepare(request)
            await response.write(b'{"next_batch": ')
        asked.release()
        await go_on.wait()
        await response.write(b'"s2"}')
        return response

    async def handle(request: web.Request) -> web.StreamResponse:
        return await goodbye.answer(request, wait_for_news(request))

    application = web.Application()
    application.on_response_prepare.append(goodbye.note_answer)
    application.router.add_get("/{path:.*}", handle)
    path = "/_matrix/client/v3/sync?since=s1&timeout=30000"
    async with TestClient(TestServer(application)) as client:
        waiting, begun = asyncio.create_task(client.get(path)), asyncio.create_task(client.get(f"{path}&begun"))
        for _ in range(2):
            await asked.acquire()
        goodbye.say()
        answer = await waiting
        assert (answer.status, await answer.json()) == (200, {"next_batch": "s1"})
        # The next request is to find the next process.
        assert answer.headers["Connection"] == "close"
        # One that comes now is not even begun.
        assert await (await client.get(path)).json() == {"next_batch": "s1"}
        # And an answer that had begun comes to its own end.
        go_on.set()
        assert await (await begun).read() == b'{"next_batch": "s2"}'


async def test_a_client_that_goes_away_takes_its_request_along() -> None:
    goodbye, ended = Goodbye(), asyncio.Event()

    async def wait_for_news() -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    request = make_mocked_request("GET", "/_matrix/client/v3/sync?since=s1&timeout=30000")
    handling = asyncio.create_task(goodbye.answer(request, wait_for_news()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert ended.is_set()
