"""After a restart everybody comes at once: nobody waits for more than without the relay, and nobody misses anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edges.relay.running import GatewayServer, RunningRelay, direct_body, http_body
from edges.relay.sync.test_other_homeservers import ids, set_pusher, sync
from fakes.scripted_homeserver import AUTHORIZATION, ScriptedHomeserver
from heliograph.relay.sync import response
from support.waiting import until


class BusyHomeserver(ScriptedHomeserver):
    """Answers the requests of `slow` (ends of paths) only when `go_on` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: Collection[str] = ()
        self._going_on = asyncio.Event()

    def go_on(self) -> None:
        self.slow = ()
        self._going_on.set()

    def asked_for(self, end: str) -> int:
        return sum(request.path.endswith(end) for request in self.requests)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if any(request.path.endswith(end) for end in self.slow):
            self.requests.append(request)
            await self._going_on.wait()
        return await super()._answer(request)


@pytest.fixture
async def homeserver() -> AsyncIterator[BusyHomeserver]:
    async with BusyHomeserver() as server:
        yield server


@pytest.fixture
async def relay(homeserver: BusyHomeserver, tmp_path: Path) -> AsyncIterator[RunningRelay]:
    async with RunningRelay(homeserver.url, tmp_path / "relay") as running:
        yield running


@pytest.fixture
async def client(relay: RunningRelay) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{relay.url}/_matrix/client/v3/", headers=AUTHORIZATION) as session:
        yield session


async def restart(relay: RunningRelay) -> None:
    await relay.stop()
    await relay.start()


async def test_a_poll_passes_until_it_is_known_whose_it_is(
    homeserver: BusyHomeserver, relay: RunningRelay, client: aiohttp.ClientSession
) -> None:
    async with GatewayServer() as gateway:
        await set_pusher(client, http_body(gateway))
        await set_pusher(client, direct_body())
        await restart(relay)
        homeserver.slow = ["/whoami"]
        homeserver.send("$1")
        since, notifications = await sync(client, "s1")
        assert (since, notifications) == ("s2", [])
        # The next one waits at the homeserver already when that says who it is.
        polling = asyncio.create_task(sync(client, since))
        await until(lambda: homeserver.asked_for("/sync") == 2, "the poll")
        homeserver.go_on()
        await until(lambda: relay.relay.state.connections.pending, "its discovery")
        since, notifications = await polling
        assert ids(notifications) == ["$1"]
        await sync(client, since, 0)
        assert gateway.events == []


async def test_a_device_whose_turn_comes_late_is_told_of_what_it_missed_all_the_same(
    homeserver: BusyHomeserver,
    relay: RunningRelay,
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(response, "MOST_LOOKS_AT_ONCE", 1)
    await set_pusher(client, direct_body())
    asked = homeserver.asked_for("/notifications")
    await relay.stop()
    event = homeserver.send("$missed", is_hidden=True)
    await relay.start()
    homeserver.slow = ["/notifications"]
    polls = [asyncio.create_task(sync(client, "s1", 20_000)) for _ in range(2)]
    await until(lambda: homeserver.asked_for("/sync") == 2, "the polls, which wait no longer for the list")
    assert homeserver.asked_for("/notifications") == asked + 1
    homeserver.go_on()
    done, others = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    for poll in others:
        poll.cancel()
    _, (notification,) = done.pop().result()
    assert notification["event"] == event
