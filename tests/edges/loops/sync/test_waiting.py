"""How long the sync loop waits, and what ends its waits."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import HOUR, YEAR, WatchedHomeserver
from heliograph.core.connection import Connection
from heliograph.core.events import Sync
from heliograph.errors import RateLimited, Unreachable
from support.builders import make_event, make_sync
from support.waiting import until


@pytest.mark.expected_log("@me:example.org: no connection$")
async def test_an_unreachable_homeserver_is_asked_ever_more_seldom(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.times.clear()
        await homeserver.fail(*[Unreachable("no connection")] * 9)
        await until(lambda: not homeserver.sync_failures and stage.connection.state is Connection.CONNECTED)
    # The first was the end of the poll that was dropped.
    assert [round(wait, 2) for wait in homeserver.waits[:9]] == [2, 4, 8, 8.5, 9.03, 9.6, 10.2, 10.83, 11.51]
    assert stage.connection.why == ""


@pytest.mark.expected_log("@me:example.org: too many requests$")
async def test_the_homeserver_says_when_to_come_back(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(10)
        await homeserver.fail(RateLimited("too many requests", after=600))
        await until(lambda: not homeserver.sync_failures)
        start = len(homeserver.times)
        turns = stage.heard.turns
        await until(lambda: len(homeserver.times) > start)
    assert round(homeserver.waits[start - 1]) == 600
    # The watchdog sees life meanwhile.
    assert stage.heard.turns - turns >= 10


@pytest.mark.expected_log("@me:example.org: gone$")
async def test_a_nudge_ends_the_back_off_and_it_begins_anew(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await homeserver.fail(*[Unreachable("gone")] * 1000)
        await asyncio.sleep(HOUR)
        before = len(homeserver.times)
        await stage.loop.nudge("the network is back")
        await asyncio.sleep(0.5)
        assert len(homeserver.times) == before + 1
        await asyncio.sleep(8)
        assert len(homeserver.times) == before + 4


async def test_a_nudge_drops_a_poll_that_may_be_dead(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(20)
        before = len(homeserver.times)
        await stage.loop.nudge("awake again")
        await until(lambda: len(homeserver.times) == before + 2)
        assert homeserver.times[-1] - homeserver.times[before - 1] < 25
        assert homeserver.requests[before].timeout_ms == 0
        assert stage.connection.state is Connection.CONNECTED


@pytest.mark.expected_log("@me:example.org: gone$")
async def test_nudges_in_a_row_make_no_busy_loop(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await homeserver.fail(*[Unreachable("gone")] * 10_000)
        before = len(homeserver.times)
        for _ in range(20):
            await stage.loop.nudge("the network changed")
            await asyncio.sleep(1)
        assert len(homeserver.times) - before <= 50


@pytest.mark.expected_log("@me:example.org: gone$")
async def test_a_nudge_while_all_is_well_costs_nothing_later(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await stage.loop.nudge("awake again")
        await asyncio.sleep(60)
        await homeserver.fail(*[Unreachable("gone")] * 4)
        before = len(homeserver.times)
        await asyncio.sleep(10)
        assert len(homeserver.times) - before <= 4


@pytest.mark.parametrize("is_moving", [True, False])
async def test_polls_that_are_answered_at_once_with_nothing_make_no_busy_loop(
    stage: SyncStage, is_moving: bool
) -> None:
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.answers.extend(Sync(f"n{n}" if is_moving else "n") for n in range(10_000))
        await stage.homeserver.drop_connections()
        before = len(stage.homeserver.requests)
        await asyncio.sleep(60)
        assert len(stage.homeserver.requests) - before < 30


async def test_the_same_answer_again_and_again_makes_no_busy_loop(stage: SyncStage) -> None:
    """As the cache of a proxy gives it."""
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.answers.extend([make_sync(make_event("cached", room_id=room), next_batch="n")] * 10_000)
        await stage.homeserver.drop_connections()
        before = len(stage.homeserver.requests)
        await asyncio.sleep(60)
        assert len(stage.homeserver.requests) - before < 30
    assert stage.rung == ["cached"]


async def test_messages_in_quick_succession_are_not_held_up(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        start = asyncio.get_running_loop().time()
        for number in range(20):
            await stage.hears(room, f"number {number}")
        assert asyncio.get_running_loop().time() - start < 1


@pytest.mark.parametrize("years", [-10, 10])
async def test_a_clock_that_is_set_changes_nothing(stage: SyncStage, clock: WallClock, years: int) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "before")
        clock.jump(years * YEAR)
        await stage.hears(room, "after")
        await asyncio.sleep(3 * HOUR)
        await stage.hears(room, "later")
    assert stage.rung == ["before", "after", "later"]
