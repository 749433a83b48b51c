"""The sync loop, over a homeserver and a ledger in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import DAY, HOUR, YEAR, WatchedHomeserver
from fakes.encryption import FakeEncryption
from fakes.ledger import FakeLedger
from heliograph.core.connection import Connection
from heliograph.core.delivery import State
from heliograph.core.events import InvitedRoom, JoinedRoom, Malformed, Sync
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.record import FAULT, AccountState, Decision, RoomRecord
from heliograph.errors import BadAnswer, RateLimited, Refused, StateError, Unreachable
from heliograph.ports.homeserver import SyncRequest
from support.builders import ALICE, make_event, make_stripped, make_sync
from support.virtual_time import LeapingLoop
from support.waiting import until

# Starting


async def test_the_first_start_asks_for_no_room_and_gives_one_summary(stage: SyncStage) -> None:
    for name in ("Lunch", "Dinner"):
        room = await stage.room(name)
        await stage.alice.send_text(room, "unread")
    await stage.alice.create_room("Hike", invite=[stage.me])
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(60)
    assert stage.homeserver.requests[0] == SyncRequest(since=None, timeout_ms=0)
    assert stage.homeserver.fact_requests == []
    assert stage.rung == ["2 unread notifications in 2 rooms"]


async def test_a_first_start_with_nothing_unread_is_silent(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
    assert stage.rung == []
    assert stage.ledger.state.next_batch is not None


async def test_a_second_start_goes_on_where_the_first_ended(stage: SyncStage, clock: WallClock) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
    await stage.alice.send_text(room, "while away")
    again = SyncStage(clock, homeserver=stage.homeserver, ledger=stage.ledger)
    before = len(stage.homeserver.requests)
    async with running(again.loop):
        await again.rings("while away")
    assert all(request.since for request in stage.homeserver.requests[before:])
    assert again.rung == ["while away"]


@pytest.mark.expected_log(
    "Starting without what the homeserver fails to tell|@me:example.org: (broken|busy)$", times=(0, 2)
)
@pytest.mark.parametrize("failure", [BadAnswer(500, "broken"), RateLimited("busy", None), Refused(404, "", "none")])
async def test_a_first_start_does_without_a_list_of_what_is_unread(
    stage: SyncStage, homeserver: WatchedHomeserver, failure: Exception
) -> None:
    homeserver.list_failures.extend([failure] * 20)
    async with running(stage.loop):
        await asyncio.wait_for(stage.connected(), 60)


@pytest.mark.expected_log("@me:example.org: broken$")
async def test_a_first_start_without_the_push_rules_is_tried_again(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    """Rules that are not there would be missed for good: /sync tells only of changes."""
    homeserver.answers.extend([Sync("s1")] * 6)
    homeserver.rules_failures.extend([BadAnswer(500, "broken")] * 5)
    async with running(stage.loop):
        await stage.connected()
    assert stage.ledger.state.push_rules is not None


# Ringing


async def test_what_a_rule_keeps_silent_is_told_once_it_is_committed(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        own = await stage.me.send_text(room, "from my phone")
        content = {"msgtype": "m.notice", "body": "built"}
        notice = await stage.alice.send_event(room, "m.room.message", content)
        text = await stage.hears(room, "noodles?")
    assert stage.heard.silent == [notice]
    assert {own, text}.isdisjoint(stage.heard.silent)
    assert notice in stage.ledger.judged


async def test_a_message_rings_with_the_names_of_room_and_sender(stage: SyncStage) -> None:
    room = await stage.room("Lunch")
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "noodles?")
    (delivery,) = stage.ledger.deliveries.values()
    assert delivery.content is not None
    assert (delivery.content.room_title, delivery.content.sender_name) == ("Lunch", "alice")
    assert stage.heard.news == 1


async def test_the_facts_of_a_room_are_asked_for_once(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        for text in ("one", "two", "three"):
            await stage.hears(room, text)
    assert stage.homeserver.fact_requests == [(room,)]


async def test_what_is_read_elsewhere_is_withdrawn(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        event = await stage.hears(room, "read me")
        await stage.me.read(room, event)
        await until(lambda: stage.ledger.deliveries[event].state is State.CANCELLED)


async def test_what_is_read_before_the_sync_that_tells_of_it_is_withdrawn(polling: SyncStage, room: RoomId) -> None:
    # The poll was made before anything was open in the room, so it asks for no receipts there.
    event = await polling.alice.send_text(room, "read at once")
    await polling.me.read(room, event)
    await until(lambda: event in polling.ledger.deliveries)
    await until(lambda: polling.ledger.deliveries[event].state is State.CANCELLED)
    assert polling.ledger.deliveries[event].why == "read elsewhere"


async def test_what_was_read_elsewhere_during_an_absence_does_not_ring(stage: SyncStage, clock: WallClock) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
    event = await stage.alice.send_text(room, "old news")
    await stage.me.read(room, event)
    await stage.alice.send_text(room, "fresh news")
    again = SyncStage(clock, homeserver=stage.homeserver, ledger=stage.ledger)
    async with running(again.loop):
        await again.rings("fresh news")
    assert again.rung == ["fresh news"]


async def test_catching_up_asks_for_every_rooms_receipts_and_returns_at_once(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "hello")
        await until(lambda: stage.homeserver.requests[-1].receipts_in == frozenset({room}))
    first_with_token = next(each for each in stage.homeserver.requests if each.since)
    assert (first_with_token.timeout_ms, first_with_token.receipts_in) == (0, None)
    assert stage.homeserver.requests[-1].timeout_ms == 50_000


async def test_one_bad_event_among_good_ones_costs_none_of_them(stage: SyncStage) -> None:
    room = await stage.room()
    bad = Malformed("timeline", "content is no object", room, EventId("$bad"))
    async with running(stage.loop):
        await stage.connected()
        timeline = (make_event("before", room_id=room), bad, make_event("after", room_id=room))
        stage.homeserver.answers.append(Sync("s900", joined=(JoinedRoom(room, timeline),)))
        await stage.homeserver.drop_connections()
        await stage.rings("after")
    assert stage.rung == ["before", "after"]
    assert [each.reason for each in stage.ledger.judged.values() if each.event_id.startswith("malformed:")] == [
        "timeline: content is no object"
    ]


async def test_a_large_sync_is_planned_in_a_thread(stage: SyncStage) -> None:
    room = await stage.room()
    events = [make_event(f"number {n}", room_id=room) for n in range(500)]
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LeapingLoop)
    async with running(stage.loop):
        await stage.connected()
        before = loop.calls_in_threads
        stage.homeserver.answers.append(make_sync(*events, next_batch="s900"))
        await stage.homeserver.drop_connections()
        await stage.rings("number 499")
    assert loop.calls_in_threads > before


# Acknowledging


class LedgerAtRequest(WatchedHomeserver):
    """Looks at the ledger and crypto.db whenever /sync is asked for."""

    ledger: FakeLedger
    encryption: FakeEncryption

    def __init__(self) -> None:
        super().__init__()
        self.unacknowledged: list[str] = []
        self.kept = 0

    async def sync(self, request: SyncRequest) -> Sync:
        if request.since != self.ledger.state.next_batch:
            self.unacknowledged.append(f"{request.since} asked, {self.ledger.state.next_batch} committed")
        self.kept = len(self.encryption.taken)
        return await super().sync(request)


async def test_only_what_is_committed_is_acknowledged(clock: WallClock) -> None:
    homeserver = LedgerAtRequest()
    stage = SyncStage(clock, homeserver=homeserver)
    homeserver.ledger, homeserver.encryption = stage.ledger, stage.encryption
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        for number in range(5):
            homeserver.send_to_device(ALICE, "org.example.test", {"n": number})
            await stage.hears(room, f"number {number}")
            await until(lambda n=number: homeserver.kept == n + 1)  # type: ignore[misc]
    assert homeserver.unacknowledged == []


@pytest.mark.expected_log("@me:example.org: the fake disk is full$")
async def test_to_device_events_are_kept_before_the_sync_is_committed(stage: SyncStage) -> None:
    stage.encryption.is_full = True
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        token = stage.ledger.state.next_batch
        stage.homeserver.send_to_device(ALICE, "org.example.test", {})
        await stage.alice.send_text(room, "hello")
        await asyncio.sleep(300)
        assert stage.ledger.state.next_batch == token
        assert stage.rung == []
        stage.encryption.is_full = False
        await stage.rings("hello")
    assert len(stage.encryption.taken) == 1


@pytest.mark.expected_log("@me:example.org: the fake disk is full$")
async def test_while_the_disk_is_full_nothing_is_acknowledged_and_nothing_lost(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.ledger.is_full = True
        await stage.alice.send_text(room, "hello")
        before = len(stage.homeserver.requests)
        await asyncio.sleep(2 * HOUR)
        assert len({request.since for request in stage.homeserver.requests[before:]}) <= 1
        assert len(stage.homeserver.requests) - before < 150
        offline = stage.connection.state
        assert {title for title, _ in stage.troubles} == {"Heliograph cannot write to disk"}
        stage.ledger.is_full = False
        await stage.rings("hello")
    assert stage.rung == ["hello"]
    assert (offline, stage.connection.state) == (Connection.OFFLINE, Connection.CONNECTED)


@pytest.mark.expected_log("@me:example.org: the fake disk is full$")
async def test_a_disk_that_is_full_at_the_start_is_waited_for(stage: SyncStage) -> None:
    stage.ledger.is_full = True
    async with running(stage.loop):
        await asyncio.sleep(HOUR)
        assert stage.homeserver.requests == []
        stage.ledger.is_full = False
        await stage.connected()


async def test_idle_syncs_are_written_once_an_hour(stage: SyncStage, clock: WallClock) -> None:
    async with running(stage.loop):
        await stage.connected()
        before = len(stage.ledger.commits)
        for number in range(8000):
            stage.homeserver.answers.append(Sync(f"idle{number}"))
        await asyncio.sleep(10 * HOUR)
    assert 8 <= len(stage.ledger.commits) - before <= 11


async def test_a_clock_that_was_set_back_does_not_keep_idle_syncs_from_the_disk(
    stage: SyncStage, clock: WallClock
) -> None:
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(2 * HOUR)
        before = len(stage.ledger.commits)
        clock.jump(-YEAR)
        await asyncio.sleep(2 * HOUR)
        assert len(stage.ledger.commits) > before


class DamagedLedger(FakeLedger):
    async def account(self) -> AccountState:
        raise StateError("ledger.db is damaged", "Move it away.")


async def test_a_damaged_ledger_ends_the_loop(clock: WallClock, caplog: pytest.LogCaptureFixture) -> None:
    stage = SyncStage(clock, ledger=DamagedLedger())
    with pytest.raises(StateError, match="damaged"):
        await stage.loop.run()
    assert not [record for record in caplog.records if record.exc_info]


# Faults of our own


class FaultyLedger(FakeLedger):
    """Raises what no ledger may raise, whenever rooms are read."""

    is_faulty = True

    async def rooms(self, room_ids: Collection[RoomId], names_of: Collection[UserId]) -> dict[RoomId, RoomRecord]:
        if self.is_faulty:
            raise RuntimeError("a fault of our own")
        return await super().rooms(room_ids, names_of)


@pytest.mark.expected_log("Unexpected fault in judging", times=(1, None))
@pytest.mark.expected_log("Unexpected fault in the sync loop", times=(1, None))
@pytest.mark.expected_log("@me:example.org: an unexpected fault, see the log$")
async def test_a_fault_of_our_own_neither_ends_nor_spins_nor_loses(clock: WallClock) -> None:
    ledger = FaultyLedger()
    stage = SyncStage(clock, ledger=ledger)
    room = await stage.room()
    async with running(stage.loop) as task:
        await stage.connected()
        await stage.alice.send_text(room, "hello")
        before = len(stage.homeserver.requests)
        await asyncio.sleep(HOUR)
        assert not task.done()
        assert len(stage.homeserver.requests) - before < 90
        ledger.is_faulty = False
        await stage.rings("hello")


class Exploding(dict[str, object]):
    """Content that finds a fault in whoever looks at it."""

    def get(self, *_: object) -> object:
        raise RuntimeError("a fault of our own")

    __getitem__ = get


@pytest.mark.expected_log("Unexpected fault in judging a sync")
async def test_an_event_that_finds_a_fault_of_ours_does_not_stall_the_account(stage: SyncStage) -> None:
    room = await stage.room()
    bad = make_event(room_id=room, content=Exploding())
    bad_name = make_event(room_id=room, type="m.room.name", state_key="", content=Exploding())
    invite = InvitedRoom(RoomId("!invite:example.org"), (make_stripped("m.room.name", Exploding()),))
    async with running(stage.loop):
        await stage.connected()
        timeline = (make_event("before", room_id=room), bad, make_event("after", room_id=room))
        joined = JoinedRoom(room, timeline, state=(bad_name,))
        stage.homeserver.answers.append(Sync("s900", joined=(joined,), invited=(invite,)))
        before = len(stage.homeserver.requests)
        await stage.homeserver.drop_connections()
        await stage.rings("after")
        assert len(stage.homeserver.requests) - before <= 4
        await until(lambda: stage.connection.state is Connection.CONNECTED)
    assert stage.rung == ["Invited you to this room", "before", "after"]
    faults = [each for each in stage.ledger.judged.values() if FAULT in each.reason]
    assert {each.decision for each in faults} == {Decision.MALFORMED}
    assert {bad.event_id, bad_name.event_id} < {each.event_id for each in faults}
    assert len(faults) == 3
    assert [title for title, _ in stage.troubles] == ["3 messages could not be judged"]


# Housekeeping


class PrunedLedger(FakeLedger):
    def __init__(self) -> None:
        super().__init__()
        self.pruned: list[int] = []

    async def prune(self, before_ms: int) -> None:
        self.pruned.append(before_ms)
        await super().prune(before_ms)


async def test_what_is_old_is_forgotten_once_a_day(clock: WallClock) -> None:
    ledger = PrunedLedger()
    stage = SyncStage(clock, ledger=ledger)
    start = clock()
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(3.5 * DAY)
    assert len(ledger.pruned) == 4
    assert ledger.pruned[0] - start == pytest.approx(-7 * DAY * 1000, abs=1000)


@pytest.mark.expected_log("@me:example.org: no connection$")
async def test_one_line_in_the_log_tells_of_each_outage(
    stage: SyncStage, homeserver: WatchedHomeserver, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(10)
        caplog.clear()
        homeserver.sync_failures.extend([Unreachable("no connection")] * 30)
        with caplog.at_level(logging.INFO):
            await homeserver.drop_connections()
            await until(lambda: not homeserver.sync_failures and stage.connection.state is Connection.CONNECTED)
    messages = [record.getMessage() for record in caplog.records]
    assert sum("no connection" in message for message in messages) == 1
    assert sum("is connected to" in message for message in messages) == 1


async def test_ignoring_somebody_takes_back_their_messages_and_their_invites(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "buy my coins")
        await stage.alice.create_room("Free money", invite=[stage.me])
        await stage.rings("Invited you to this room")
        stage.homeserver.add_account_data("m.ignored_user_list", {"ignored_users": {ALICE: {}}})
        await until(lambda: not stage.rung, "everything taken back")


async def test_no_poll_is_longer_than_its_access_token_allows(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(HOUR)
        assert stage.homeserver.requests[-1].timeout_ms == 50_000
        stage.longest_poll_s = 7.5
        await asyncio.sleep(HOUR)
        assert stage.homeserver.requests[-1].timeout_ms == 7500
