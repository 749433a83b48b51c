"""What stands where is asked of the homeserver, as far as what was read hangs on it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import WatchedHomeserver
from heliograph.core.delivery import State
from heliograph.core.events import Sync
from heliograph.core.ids import EventId, RoomId
from heliograph.errors import BadAnswer, RateLimited, ServerError
from heliograph.loops.sync.order import AROUND, MOST_AT_ONCE, PATIENCE_S
from heliograph.ports.homeserver import EventContext, SyncRequest
from support.waiting import until


class AskedHomeserver(WatchedHomeserver):
    """Notes what was asked for by /context, and may fail to tell."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[EventId] = []
        self.context_failures: list[ServerError] = []
        self.takes_s = 0.0

    async def context(
        self, room_id: RoomId, event_id: EventId, *, limit: int, event_types: frozenset[str] | None = None
    ) -> EventContext:
        self.asked.append(event_id)
        await asyncio.sleep(self.takes_s)
        if self.context_failures:
            raise self.context_failures.pop(0)
        return await super().context(room_id, event_id, limit=limit, event_types=event_types)

    async def sync(self, request: SyncRequest) -> Sync:
        """As of a server that counts nothing."""
        told = await super().sync(request)
        return replace(
            told, joined=tuple(replace(room, notification_count=0, thread_counts={}) for room in told.joined)
        )


@pytest.fixture
def homeserver() -> AskedHomeserver:
    return AskedHomeserver()


def _is_read(stage: SyncStage, event: EventId) -> bool:
    return stage.ledger.deliveries[event].state is State.CANCELLED


async def test_a_receipt_at_a_reaction_reads_what_stands_before_it(
    polling: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    first = await polling.hears(room, "before")
    reaction = await polling.alice.react(room, first)
    after = await polling.hears(room, "after")
    await polling.me.read(room, reaction)
    await until(lambda: _is_read(polling, first))
    assert not _is_read(polling, after)
    assert homeserver.asked == [reaction]


async def test_a_receipt_at_a_known_event_asks_for_nothing(
    polling: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    first = await polling.hears(room, "before")
    second = await polling.hears(room, "after")
    await polling.me.read(room, first, thread_id="main")
    await until(lambda: _is_read(polling, first))
    assert not _is_read(polling, second)
    assert homeserver.asked == []


async def test_an_older_event_than_all_that_is_known_reads_nothing(
    stage: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    old = await stage.alice.send_text(room, "long ago")
    async with running(stage.loop):
        await stage.connected()
        message = await stage.hears(room, "today")
        await stage.me.read(room, old)
        await until(lambda: homeserver.asked == [old])
        await stage.hears(room, "later")
    assert not _is_read(stage, message)


async def test_where_nothing_around_it_is_known_older_messages_are_asked_for(
    stage: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        message = await stage.hears(room, "before a flood")
    # As if the gap had been filled from a list of notifications, which has none of these.
    for number in range(AROUND * 2):
        await stage.alice.send_event(room, "m.room.message", {"msgtype": "m.notice", "body": f"{number}"})
    reaction = await stage.alice.react(room, message)
    stage.ledger.state = replace(stage.ledger.state, next_batch=f"s{homeserver._now}")
    again = SyncStage(stage.clock, homeserver=homeserver, ledger=stage.ledger)
    async with running(again.loop):
        await again.connected()
        await stage.me.read(room, reaction)
        await until(lambda: _is_read(stage, message))
    assert homeserver.asked == [reaction]


async def test_where_the_homeserver_does_not_know_the_event_nothing_is_read(
    polling: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    message = await polling.hears(room, "hello")
    await polling.me.read(room, "$unknown")
    await until(lambda: homeserver.asked == ["$unknown"])
    await polling.hears(room, "later")
    assert not _is_read(polling, message)


@pytest.mark.expected_log("@me:example.org: (broken|busy)|busy")
@pytest.mark.parametrize("failure", [BadAnswer(500, "broken"), RateLimited("busy", None)])
async def test_a_homeserver_that_fails_to_tell_is_asked_again_with_the_same_sync(
    polling: SyncStage, room: RoomId, homeserver: AskedHomeserver, failure: ServerError
) -> None:
    message = await polling.hears(room, "hello")
    homeserver.context_failures.extend([failure] * 2)
    await polling.me.read(room, await polling.alice.react(room, message))
    await until(lambda: _is_read(polling, message))
    assert len(homeserver.asked) == 3


@pytest.mark.expected_log("@me:example.org: broken|What was read elsewhere may stay unread", times=(1, 9))
async def test_a_homeserver_that_never_tells_holds_up_no_sync(
    polling: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    message = await polling.hears(room, "hello")
    homeserver.context_failures.extend([BadAnswer(500, "broken")] * 9)
    await polling.me.read(room, await polling.alice.react(room, message))
    await polling.hears(room, "later")
    assert not _is_read(polling, message)


@pytest.mark.expected_log("@me:example.org: it does not tell in time")
async def test_what_is_not_told_in_time_is_asked_again_before_anything_is_decided(
    stage: SyncStage, clock: WallClock, homeserver: AskedHomeserver
) -> None:
    rooms = [await stage.room(f"Room {number}") for number in range(3)]
    async with running(stage.loop):
        await stage.connected()
        messages = [await stage.hears(room, f"in {room}") for room in rooms]
    for room, message in zip(rooms, messages, strict=True):
        await stage.me.read(room, await stage.alice.react(room, message))
    homeserver.takes_s = PATIENCE_S * 0.7
    again = SyncStage(clock, homeserver=homeserver, ledger=stage.ledger)
    async with running(again.loop):
        await until(lambda: len(homeserver.asked) > 1)
        assert not any(_is_read(stage, message) for message in messages)
        await until(lambda: all(_is_read(stage, message) for message in messages))
    assert len(set(homeserver.asked)) == 3
    assert homeserver.asked.count(homeserver.asked[0]) == 1, "what was told is not asked again"


@pytest.mark.expected_log(
    "@me:example.org: it does not tell in time|What was read elsewhere may stay unread", times=(1, 9)
)
async def test_a_homeserver_that_takes_its_time_holds_up_no_sync(
    polling: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    message = await polling.hears(room, "hello")
    homeserver.takes_s = PATIENCE_S * 2
    await polling.me.read(room, await polling.alice.react(room, message))
    await polling.hears(room, "later")
    assert not _is_read(polling, message)


async def test_of_many_rooms_only_some_are_asked_about_at_once(
    stage: SyncStage, clock: WallClock, homeserver: AskedHomeserver
) -> None:
    rooms = [await stage.room(f"Room {number}") for number in range(MOST_AT_ONCE + 2)]
    async with running(stage.loop):
        await stage.connected()
        for room in rooms:
            await stage.hears(room, f"in {room}")
    for room in rooms:
        await stage.me.read(room, await stage.alice.react(room, "$any"))
    again = SyncStage(clock, homeserver=homeserver, ledger=stage.ledger)
    async with running(again.loop):
        await again.connected()
        await until(lambda: len(homeserver.asked) >= MOST_AT_ONCE)
        await again.hears(rooms[0], "later")
    assert len(homeserver.asked) == MOST_AT_ONCE


async def test_nothing_is_asked_of_a_room_without_anything_unread(
    polling: SyncStage, room: RoomId, homeserver: AskedHomeserver
) -> None:
    other = await polling.room("Tea")
    await polling.me.read(room, await polling.alice.react(room, "$any"))
    await polling.hears(other, "later")
    assert homeserver.asked == []
