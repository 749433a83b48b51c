"""A push that is faster than the answer to /sync, as at a homeserver that is split into workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edges.relay.running import RunningRelay, direct_body
from fakes.scripted_homeserver import AUTHORIZATION, ScriptedHomeserver
from heliograph.relay.sync.grace import LEAST_S, MOST_S, Grace
from support.waiting import until

Json = dict[str, Any]
LAG_S = 0.12


@pytest.fixture
async def homeserver() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as server:
        yield server


@pytest.fixture
async def relay(homeserver: ScriptedHomeserver, tmp_path: Path) -> AsyncIterator[RunningRelay]:
    async with RunningRelay(homeserver.url, tmp_path / "relay") as running:
        yield running


def test_it_is_short_until_something_else_is_measured() -> None:
    grace = Grace()
    assert grace.seconds == LEAST_S
    for _ in range(20):
        grace.measure(0.002)
    assert grace.seconds == LEAST_S


def test_it_follows_the_lag_up_and_down_and_leaves_room_for_its_spread() -> None:
    grace = Grace()
    for number in range(40):
        grace.measure(0.08 if number % 2 else 0.12)
    assert 0.12 < grace.seconds < 0.3
    for _ in range(100):
        grace.measure(0.001)
    assert grace.seconds == LEAST_S


def test_each_request_cut_short_in_vain_doubles_it_up_to_a_bound_and_one_answer_brings_it_back() -> None:
    grace = Grace()
    grace.note_late()
    assert grace.seconds == 2 * LEAST_S
    for _ in range(1000):
        grace.note_late()
    assert grace.seconds == MOST_S
    grace.measure(0.01)
    assert grace.seconds < 0.1


async def test_an_event_that_comes_long_after_its_push_costs_no_nudge(
    homeserver: ScriptedHomeserver, relay: RunningRelay
) -> None:
    url = f"{relay.url}/_matrix/client/v3/"
    async with aiohttp.ClientSession(url, headers=AUTHORIZATION) as client, aiohttp.ClientSession() as pusher:
        async with client.post("pushers/set", json=direct_body()) as response:
            assert response.status == 200
        since, syncs = f"s{homeserver.position}", []
        for number in range(8):
            before = _count(homeserver, "/sync")
            polling = asyncio.create_task(_sync(client, since))
            await until(lambda: relay.relay.state.connections.pending, "the poll")
            event = homeserver.send(f"${number}", moves=False, is_hidden=True)
            await homeserver.push(pusher, event)
            await asyncio.sleep(LAG_S)
            homeserver.arrive(event)
            body = await polling
            assert [each["event"]["event_id"] for each in body["notifications"]] == [event["event_id"]]
            (room,) = body["rooms"]["join"].values()
            assert [each["event_id"] for each in room["timeline"]["events"]] == [event["event_id"]]
            since = body["next_batch"]
            syncs.append(_count(homeserver, "/sync") - before)
    assert _count(homeserver, "/sendToDevice/") == 0
    # The first one was cut short; by now the poll is given the time that the homeserver takes.
    assert syncs[0] > 1
    assert min(syncs[2:]) == 1


def _count(homeserver: ScriptedHomeserver, part: str) -> int:
    return sum(part in request.path for request in homeserver.requests)


async def _sync(client: aiohttp.ClientSession, since: str) -> Json:
    async with client.get("sync", params={"since": since, "timeout": "20000"}) as response:
        body: Json = json.loads(await response.read())
        return body
