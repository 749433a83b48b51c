"""The sync loop, over a homeserver and a ledger in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from fakes.encryption import FakeEncryption
from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from heliograph.core.delivery import State
from heliograph.core.events import AccountData, InvitedRoom, JoinedRoom, Json, Malformed, Sync
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.record import FAULT, AccountState, Decision, RoomRecord
from heliograph.core.status import Connection
from heliograph.errors import (
    AnswerTooLarge,
    BadAnswer,
    RateLimited,
    Refused,
    StateError,
    Unreachable,
)
from heliograph.ports.homeserver import Features, NotificationsPage, SyncRequest
from support.builders import ALICE, ME, make_event, make_stripped, make_sync
from support.virtual_time import LeapingLoop
from support.waiting import until

HOUR, DAY, YEAR = 3600, 86_400, 365 * 86_400
BAD_TOKEN = Refused(400, "M_INVALID_PARAM", "unknown token")


class WatchedHomeserver(FakeHomeserver):
    """Notes when each /sync was asked for, and lets a test look at that moment."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.times: list[float] = []
        self.sync_failures: list[Exception] = []
        """Raised by the next syncs that have a token."""
        self.list_failures: list[Exception] = []
        self.rules_failures: list[Exception] = []
        self.forgotten_tokens: set[str | None] = set()
        self.refuses_narrow_syncs = False
        self.feature_requests = 0

    async def features(self) -> Features:
        self.feature_requests += 1
        return await super().features()

    async def sync(self, request: SyncRequest) -> Sync:
        self.times.append(asyncio.get_running_loop().time())
        if request.since in self.forgotten_tokens:
            self.requests.append(request)
            raise BAD_TOKEN
        if request.since is not None and self.sync_failures:
            self.requests.append(request)
            raise self.sync_failures.pop(0)
        if request.since is not None and request.is_narrow and self.refuses_narrow_syncs:
            self.requests.append(request)
            raise BAD_TOKEN
        return await super().sync(request)

    async def push_rules(self) -> Json:
        if self.rules_failures:
            raise self.rules_failures.pop(0)
        return await super().push_rules()

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        if self.list_failures:
            raise self.list_failures.pop(0)
        return await super().notifications(since=since, limit=limit)

    async def forget_token(self) -> None:
        """Refuses the token of the poll under way, from now on."""
        self.forgotten_tokens.add(self.requests[-1].since)
        self.add_account_data("m.unrelated", {})
        await self.drop_connections()

    @property
    def waits(self) -> list[float]:
        """Seconds between the requests."""
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


@pytest.fixture
def homeserver() -> WatchedHomeserver:
    return WatchedHomeserver()


@pytest.fixture
def stage(clock: WallClock, homeserver: WatchedHomeserver) -> SyncStage:
    return SyncStage(clock, homeserver=homeserver)


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
        text = await stage.alice.send_text(room, "noodles?")
        await stage.rings("noodles?")
    assert stage.silent == [notice]
    assert {own, text}.isdisjoint(stage.silent)
    assert notice in stage.ledger.judged


async def test_a_message_rings_with_the_names_of_room_and_sender(stage: SyncStage) -> None:
    room = await stage.room("Lunch")
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "noodles?")
        await stage.rings("noodles?")
    (delivery,) = stage.ledger.deliveries.values()
    assert delivery.content is not None
    assert (delivery.content.room_title, delivery.content.sender_name) == ("Lunch", "alice")
    assert stage.news == 1


async def test_the_facts_of_a_room_are_asked_for_once(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        for text in ("one", "two", "three"):
            await stage.alice.send_text(room, text)
            await stage.rings(text)
    assert stage.homeserver.fact_requests == [(room,)]


async def test_what_is_read_elsewhere_is_withdrawn(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        event = await stage.alice.send_text(room, "read me")
        await stage.rings("read me")
        await stage.me.read(room, event)
        await until(lambda: stage.ledger.deliveries[event].state is State.CANCELLED)


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
        await stage.alice.send_text(room, "hello")
        await stage.rings("hello")
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
            await stage.alice.send_text(room, f"number {number}")
            await stage.rings(f"number {number}")
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
        offline = stage.status.connection
        assert {title for title, _ in stage.troubles} == {"Heliograph cannot write to disk"}
        stage.ledger.is_full = False
        await stage.rings("hello")
    assert stage.rung == ["hello"]
    assert (offline, stage.status.connection) == (Connection.OFFLINE, Connection.CONNECTED)


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


# Waiting


@pytest.mark.expected_log("@me:example.org: no connection$")
async def test_an_unreachable_homeserver_is_asked_ever_more_seldom(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.times.clear()
        homeserver.sync_failures.extend([Unreachable("no connection")] * 9)
        await homeserver.drop_connections()
        await until(lambda: not homeserver.sync_failures and stage.status.connection is Connection.CONNECTED)
    # The first was the end of the poll that was dropped.
    assert [round(wait, 2) for wait in homeserver.waits[:9]] == [2, 4, 8, 8.5, 9.03, 9.6, 10.2, 10.83, 11.51]
    assert stage.status.why == ""


@pytest.mark.expected_log("@me:example.org: too many requests$")
async def test_the_homeserver_says_when_to_come_back(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await asyncio.sleep(10)
        homeserver.sync_failures.append(RateLimited("too many requests", after=600))
        await homeserver.drop_connections()
        await until(lambda: not homeserver.sync_failures)
        start = len(homeserver.times)
        turns = stage.turns
        await until(lambda: len(homeserver.times) > start)
    assert round(homeserver.waits[start - 1]) == 600
    # The watchdog sees life meanwhile.
    assert stage.turns - turns >= 10


@pytest.mark.expected_log("@me:example.org: gone$")
async def test_a_nudge_ends_the_back_off_and_it_begins_anew(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([Unreachable("gone")] * 1000)
        await homeserver.drop_connections()
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
        assert stage.status.connection is Connection.CONNECTED


@pytest.mark.expected_log("@me:example.org: gone$")
async def test_nudges_in_a_row_make_no_busy_loop(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([Unreachable("gone")] * 10_000)
        await homeserver.drop_connections()
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
        homeserver.sync_failures.extend([Unreachable("gone")] * 4)
        await homeserver.drop_connections()
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
            await stage.alice.send_text(room, f"number {number}")
            await stage.rings(f"number {number}")
        assert asyncio.get_running_loop().time() - start < 1


@pytest.mark.parametrize("years", [-10, 10])
async def test_a_clock_that_is_set_changes_nothing(stage: SyncStage, clock: WallClock, years: int) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "before")
        await stage.rings("before")
        clock.jump(years * YEAR)
        await stage.alice.send_text(room, "after")
        await stage.rings("after")
        await asyncio.sleep(3 * HOUR)
        await stage.alice.send_text(room, "later")
        await stage.rings("later")
    assert stage.rung == ["before", "after", "later"]


# Being refused


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)")
async def test_a_token_that_is_refused_is_replaced_and_what_was_missed_rings(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "known")
        await stage.rings("known")
        await homeserver.forget_token()
        await stage.alice.send_text(room, "missed")
        await stage.rings("missed")
        await stage.alice.send_text(room, "next")
        await stage.rings("next")
    assert stage.rung == ["known", "missed", "next"]


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)", times=2)
@pytest.mark.expected_log("@me:example.org: gone again$")
async def test_starting_anew_survives_a_failure_on_the_way(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "known")
        await stage.rings("known")
        homeserver.list_failures.append(Unreachable("gone again"))
        await homeserver.forget_token()
        await stage.alice.send_text(room, "missed")
        await asyncio.wait_for(stage.rings("missed"), 60)


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)", times=3)
@pytest.mark.expected_log("@me:example.org: broken$")
@pytest.mark.expected_log("Starting without what the homeserver fails to tell")
@pytest.mark.expected_log("@me:example.org: unknown token$")
async def test_where_nobody_lists_what_was_missed_one_notice_says_so(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([BAD_TOKEN] * 5)
        homeserver.list_failures.extend([BadAnswer(500, "broken")] * 10)
        await homeserver.drop_connections()
        await until(lambda: stage.rung)
        await until(lambda: stage.status.connection is Connection.CONNECTED)
    assert stage.rung == ["The homeserver lost track of this device: some messages may have arrived unseen"]
    assert stage.ledger.state.push_rules is not None


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)", times=2)
@pytest.mark.expected_log("@me:example.org: unknown token$")
async def test_it_starts_anew_at_most_once_a_day(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([BAD_TOKEN] * 100_000)
        await homeserver.drop_connections()
        before = len(homeserver.requests)
        await asyncio.sleep(DAY - HOUR)
        starts = [request for request in homeserver.requests[before:] if request.since is None]
        assert len(starts) == 1
        assert len(stage.troubles) == 1
        assert str(BAD_TOKEN) in stage.troubles[0][1]
        await asyncio.sleep(2 * HOUR)
        starts = [request for request in homeserver.requests[before:] if request.since is None]
        assert len(starts) == 2
    assert len(homeserver.requests) - before < 1600


@pytest.mark.expected_log(r"The homeserver refuses a narrow sync \(unknown token\)")
async def test_a_narrow_sync_that_is_refused_is_asked_widely_at_once_and_from_then_on(
    stage: SyncStage, homeserver: WatchedHomeserver, caplog: pytest.LogCaptureFixture
) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        homeserver.refuses_narrow_syncs = True
        before = len(homeserver.requests)
        for text in ("one", "two", "three"):
            await stage.alice.send_text(room, text)
            await stage.rings(text)
            await asyncio.sleep(HOUR)
    # The poll under way when it began to refuse, the refused one, and the same again for all.
    assert [request.is_narrow for request in homeserver.requests[before:][:3]] == [True, False, False]
    assert not any(request.is_narrow for request in homeserver.requests[before + 1 :])
    assert all(request.since for request in homeserver.requests[before:])
    assert stage.turns < 1000
    assert stage.status.connection is Connection.CONNECTED
    assert stage.troubles == []
    assert [record.levelname for record in caplog.records if "narrow" in record.message] == ["WARNING"]


@pytest.mark.expected_log(r"The homeserver refuses a narrow sync \(unknown token\)")
async def test_a_narrow_sync_that_is_refused_while_catching_up_costs_no_back_off(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    room = await stage.room()
    homeserver.refuses_narrow_syncs = True
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "hello")
        await stage.rings("hello")
    narrow = [request for request in homeserver.requests if request.since and request.is_narrow]
    assert len(narrow) == 1
    assert sum(homeserver.waits) < 1


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)")
async def test_a_token_that_is_refused_leaves_syncs_narrow(stage: SyncStage, homeserver: WatchedHomeserver) -> None:
    async with running(stage.loop):
        await stage.connected()
        await homeserver.forget_token()
        await asyncio.sleep(HOUR)
    assert homeserver.requests[-1].receipts_in == frozenset()


@pytest.mark.expected_log(r"The homeserver refuses the sync token \(unknown token\)", times=2)
async def test_a_clock_that_was_set_back_does_not_forbid_to_start_anew_for_years(
    stage: SyncStage, homeserver: WatchedHomeserver, clock: WallClock
) -> None:
    async with running(stage.loop):
        await stage.connected()
        for _ in range(2):
            await homeserver.forget_token()
            await asyncio.sleep(100)
            assert stage.status.connection is Connection.CONNECTED
            clock.jump(-YEAR)


@pytest.mark.expected_log("@me:example.org: no$")
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_other_refusals_are_waited_out_and_told(
    stage: SyncStage, homeserver: WatchedHomeserver, status: int
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([Refused(status, "M_FORBIDDEN", "no")] * 1000)
        await homeserver.drop_connections()
        before = len(homeserver.requests)
        await asyncio.sleep(HOUR)
        assert all(request.since for request in homeserver.requests[before:])
        assert 10 < len(homeserver.requests) - before < 90
    assert len(stage.troubles) == 1


@pytest.mark.expected_log("The sync is too large")
async def test_an_answer_that_is_too_large_is_asked_for_in_a_smaller_form(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        before = len(homeserver.requests)
        homeserver.sync_failures.extend([AnswerTooLarge("70 MB")])
        await homeserver.drop_connections()
        await until(lambda: not homeserver.sync_failures)
        await asyncio.sleep(120)
    limits = [request.timeline_limit for request in homeserver.requests[before:]]
    assert limits[:3] == [20, 1, 20]


@pytest.mark.expected_log("The sync is too large")
@pytest.mark.expected_log(r"The homeserver refuses the sync token \(the answer stays too large\)")
async def test_an_answer_that_stays_too_large_makes_it_start_anew(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "known")
        await stage.rings("known")
        homeserver.sync_failures.extend([AnswerTooLarge("70 MB")] * 2)
        await stage.alice.send_text(room, "missed")
        await homeserver.drop_connections()
        await stage.rings("missed")
    assert stage.rung == ["known", "missed"]


@pytest.mark.expected_log("The sync is too large")
@pytest.mark.expected_log(r"The homeserver refuses the sync token \(the answer stays too large\)")
@pytest.mark.expected_log("@me:example.org: the answer stays too large$")
async def test_answers_that_are_always_too_large_make_no_busy_loop(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        homeserver.sync_failures.extend([AnswerTooLarge("70 MB")] * 10_000)
        await homeserver.drop_connections()
        before = len(homeserver.requests)
        await asyncio.sleep(HOUR)
        assert len(homeserver.requests) - before < 100


# Push rules


async def test_rules_hold_for_the_very_sync_that_brings_them(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.answers.append(
            replace(
                make_sync(make_event("hush", room_id=room), next_batch="s900"),
                account_data=AccountData(push_rules={"global": {}}),
            )
        )
        await stage.homeserver.drop_connections()
        await until(lambda: stage.ledger.state.push_rules == {"global": {}})
    assert stage.rung == []


@pytest.mark.expected_log("Unusable push rules: .*; the last good ones stay in force")
@pytest.mark.parametrize(
    "rules",
    [
        *({}, {"global": []}, {"global": None}, {"device": {}}, {"global": {"override": {}}}),
        {"global": {**predefined_rules(ME), "underride": "none"}},
        {"global": {"override": [7, {}], "underride": [None]}},
    ],
)
async def test_unusable_rules_leave_the_last_good_ones_in_force(stage: SyncStage, rules: dict[str, object]) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        kept = stage.ledger.state.push_rules
        stage.homeserver.add_account_data("m.push_rules", rules)
        await until(lambda: stage.status.rules_problem)
        await stage.alice.send_text(room, "still rings")
        await stage.rings("still rings")
        assert stage.ledger.state.push_rules == kept
        stage.homeserver.add_account_data("m.push_rules", {"global": predefined_rules(ME)})
        await until(lambda: stage.status.rules_problem is None)


async def test_rules_with_a_broken_one_among_them_are_used_without_it(stage: SyncStage) -> None:
    room = await stage.room()
    rules = predefined_rules(ME)
    broken = {**rules, "override": [{"rule_id": 7, "conditions": "?"}, *rules.get("override", [])]}
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.add_account_data("m.push_rules", {"global": broken})
        await until(lambda: stage.status.rules_problem)
        await stage.alice.send_text(room, "still rings")
        await stage.rings("still rings")


async def test_after_a_restart_the_rules_of_the_ledger_hold(stage: SyncStage, clock: WallClock) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.homeserver.add_account_data("m.push_rules", {"global": {}})
        await until(lambda: stage.ledger.state.push_rules == {"global": {}})
    again = SyncStage(clock, ledger=stage.ledger)
    again.homeserver.answers.append(make_sync(make_event("hush", room_id=room), next_batch="s900"))
    async with running(again.loop):
        await until(lambda: again.ledger.state.next_batch == "s900")
    assert again.rung == []


@pytest.mark.expected_log("Unusable push rules: .* without a `global` part", times=2)
@pytest.mark.parametrize("is_first", [True, False])
async def test_that_newer_rules_are_unusable_is_known_after_a_restart(
    stage: SyncStage, clock: WallClock, is_first: bool
) -> None:
    if is_first:
        stage.homeserver.add_account_data("m.push_rules", {"global": []})
    async with running(stage.loop):
        await stage.connected()
        if not is_first:
            stage.homeserver.add_account_data("m.push_rules", {"global": []})
        await until(lambda: stage.ledger.state.rules_problem)
        problem = stage.status.rules_problem
    again = SyncStage(clock, ledger=stage.ledger)
    async with running(again.loop):
        await again.connected()
        assert again.status.rules_problem == problem is not None
        again.homeserver.add_account_data("m.push_rules", {"global": predefined_rules(ME)})
        await until(lambda: again.status.rules_problem is None)
        await until(lambda: again.ledger.state.rules_problem is None)


@pytest.mark.expected_log("Unusable push rules: .* without a `global` part")
async def test_rules_in_the_ledger_that_became_unusable_are_told_of(stage: SyncStage, clock: WallClock) -> None:
    async with running(stage.loop):
        await stage.connected()
    stage.ledger.state = replace(stage.ledger.state, push_rules={"global": []})
    again = SyncStage(clock, ledger=stage.ledger)
    async with running(again.loop):
        await again.connected()
        assert "the predefined ones are in force" in str(again.status.rules_problem)


async def test_a_pusher_that_another_client_switched_off_silences_at_once(stage: SyncStage) -> None:
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        stage.loop.take_pusher_switch(is_enabled=False)
        event = await stage.alice.send_text(room, "hush")
        await until(lambda: event in stage.ledger.judged)
        stage.loop.take_pusher_switch(is_enabled=True)
        await stage.alice.send_text(room, "loud")
        await stage.rings("loud")
    assert stage.rung == ["loud"]


# What the homeserver can do


async def test_what_the_homeserver_can_do_is_asked_again_every_few_hours(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    async with running(stage.loop):
        await stage.connected()
        assert homeserver.feature_requests == 1
        homeserver.told = Features(has_direct_push=True)
        await asyncio.sleep(7 * HOUR)
        assert stage.status.mode == "direct"
        assert homeserver.feature_requests == 2


@pytest.mark.expected_log("@me:example.org: restarting$")
async def test_a_homeserver_that_no_longer_says_what_rings_does_not_leave_us_silent(
    stage: SyncStage, homeserver: WatchedHomeserver
) -> None:
    homeserver.told = Features(has_direct_push=True)
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        assert stage.status.mode == "direct"
        homeserver.told = Features()
        homeserver.sync_failures.append(Unreachable("restarting"))
        await homeserver.drop_connections()
        await until(lambda: stage.status.mode == "local")
        await stage.alice.send_text(room, "hello")
        await stage.rings("hello")


@pytest.mark.expected_log("The homeserver does not tell its versions")
async def test_a_homeserver_that_does_not_tell_its_versions_is_judged_by_the_rules(stage: SyncStage) -> None:
    stage.homeserver.failures.append(Refused(404, "M_UNRECOGNIZED", "no versions"))
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.alice.send_text(room, "hello")
        await stage.rings("hello")
    assert stage.status.mode == "local"


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
        await until(lambda: stage.status.connection is Connection.CONNECTED)
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
            await until(lambda: not homeserver.sync_failures and stage.status.connection is Connection.CONNECTED)
    messages = [record.getMessage() for record in caplog.records]
    assert sum("no connection" in message for message in messages) == 1
    assert sum("is connected to" in message for message in messages) == 1
