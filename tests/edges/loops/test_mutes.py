"""Rooms that are mute for a time, over a homeserver and a ledger in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from edges.loops.stage import WallClock
from fakes.ledger import FakeLedger
from fakes.room_actions import FakeRoomActions
from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.core.popups.actions import MuteSpan
from heliograph.core.push.rule_change import Delete, RuleChange
from heliograph.core.push.timed_mute import TimedMute, end_mute
from heliograph.errors import BadAnswer, LoggedOut, RateLimited, Refused, StorageError, Unreachable, Unstorable
from heliograph.loops import mutes
from heliograph.loops.mutes import LONGEST_LOOK_S, MuteLoop
from support.builders import ROOM
from support.waiting import until


class Stage:
    def __init__(self, clock: WallClock) -> None:
        self.clock = clock
        self.rooms = FakeRoomActions()
        self.ledger = FakeLedger()
        self.loop = self.new_loop()

    def new_loop(self) -> MuteLoop:
        """As after a restart."""
        return MuteLoop(self.rooms, self.ledger, clock=self.clock, jitter=lambda: 0.5)

    @property
    def is_mute(self) -> bool:
        return any(rule.get("enabled", True) for rule in self.rooms.rules["override"])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.loop.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()


@pytest.fixture
def stage(clock: WallClock) -> Stage:
    return Stage(clock)


@pytest.mark.parametrize(("span", "hours"), [(MuteSpan.HOUR, 1), (MuteSpan.DAY, 24)])
async def test_a_room_is_mute_for_as_long_as_was_asked(stage: Stage, span: MuteSpan, hours: int) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, span)
        assert stage.is_mute
        await asyncio.sleep(hours * 3600 - 1)
        assert stage.is_mute
        await asyncio.sleep(2)
        assert not stage.is_mute
        assert stage.ledger.timed_mutes == {}


async def test_a_room_that_is_mute_for_ever_stays_so(stage: Stage) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.FOREVER)
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
        await asyncio.sleep(48 * 3600)
        assert stage.is_mute


async def test_the_last_choice_holds(stage: Stage) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
        await stage.loop.mute(ROOM, MuteSpan.DAY)
        await asyncio.sleep(2 * 3600)
        assert stage.is_mute
        await stage.loop.mute(ROOM, MuteSpan.FOREVER)
        await asyncio.sleep(48 * 3600)
        assert stage.is_mute
        assert stage.ledger.timed_mutes == {}


async def test_what_ends_while_nothing_runs_ends_at_the_next_start(stage: Stage) -> None:
    await stage.loop.mute(ROOM, MuteSpan.HOUR)
    stage.clock.jump(3 * 3600)
    stage.loop = stage.new_loop()
    async with stage.running():
        await until(lambda: not stage.is_mute)


async def test_a_machine_that_slept_through_the_end_finds_out(stage: Stage) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.DAY)
        await asyncio.sleep(1)
        stage.clock.jump(25 * 3600)
        stage.loop.look()
        await until(lambda: not stage.is_mute)
        await stage.loop.mute(ROOM, MuteSpan.DAY)
        await asyncio.sleep(1)
        stage.clock.jump(25 * 3600)
        await asyncio.sleep(LONGEST_LOOK_S + 1)
        assert not stage.is_mute


@pytest.mark.expected_log("A room that was mute for a time has to wait", times=3)
@pytest.mark.parametrize(
    "trouble", [Unreachable("no answer"), RateLimited("slow down", 100), Unreachable("no answer in time")]
)
async def test_what_cannot_be_ended_now_is_ended_later(stage: Stage, trouble: Unreachable | RateLimited) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
        stage.rooms.failures.extend([trouble] * 3)
        await asyncio.sleep(3600 + 400)
        assert not stage.is_mute


@pytest.mark.expected_log("!room:example.org stays mute, its rule cannot be removed")
async def test_a_rule_that_may_not_go_is_given_up(stage: Stage) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
        stage.rooms.failures.append(Refused(400, "M_UNKNOWN", "no"))
        await asyncio.sleep(3601)
        assert stage.is_mute
        assert stage.ledger.timed_mutes == {}


@pytest.mark.expected_log("A room that was mute for a time has to wait", times=(1, None))
async def test_a_disk_that_fails_is_waited_for(stage: Stage) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
        stage.ledger.is_full = True
        await asyncio.sleep(3601)
        stage.ledger.is_full = False
        await asyncio.sleep(61)
        assert not stage.is_mute


async def test_what_the_homeserver_refused_is_not_ended_later(stage: Stage) -> None:
    stage.rooms.change_failures.append(Refused(400, "M_UNKNOWN", "no"))
    with pytest.raises(Refused):
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
    assert stage.ledger.timed_mutes == {}


async def test_a_lost_answer_does_not_leave_a_room_mute_for_ever(stage: Stage) -> None:
    stage.rooms.change_failures.append(Unreachable("no answer in time"))
    with pytest.raises(Unreachable):
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
    assert set(stage.ledger.timed_mutes) == {ROOM}


async def test_nothing_is_changed_before_its_end_is_on_disk(stage: Stage) -> None:
    stage.ledger.is_full = True
    with pytest.raises(StorageError):
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
    assert not stage.is_mute


async def test_a_room_that_the_user_let_ring_again_is_left_alone(stage: Stage) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
        await stage.rooms.change_push_rules(Delete("override", ROOM))
        await asyncio.sleep(3601)
    assert stage.ledger.timed_mutes == {}


@pytest.mark.expected_log("A room that was mute for a time has to wait")
async def test_a_refused_token_is_the_accounts_matter_and_a_mute_ends_all_the_same(stage: Stage) -> None:
    stage.ledger.timed_mutes[ROOM] = TimedMute(ROOM, ROOM, 0)
    stage.rooms.failures.append(LoggedOut(soft=False))
    async with stage.running():
        await until(lambda: stage.ledger.timed_mutes == {})


@pytest.mark.expected_log("mutes crashed")
async def test_a_fault_of_our_own_does_not_leave_a_room_mute(stage: Stage) -> None:
    async with stage.running():
        await stage.loop.mute(ROOM, MuteSpan.HOUR)
        stage.rooms.failures.append(RuntimeError("a fault"))  # type: ignore[arg-type]
        await asyncio.sleep(3600 + 60)
        assert not stage.rooms.failures
        assert not stage.is_mute


@pytest.mark.expected_log("mutes crashed(.|\n)*a fault of our own|has to wait", times=(1, None))
@pytest.mark.parametrize("trouble", [RuntimeError("a fault of our own"), Unstorable("no"), BadAnswer(500, "no")])
async def test_a_room_whose_mute_cannot_be_ended_keeps_no_other_mute(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def end_or_fail(rules: Json, mute: TimedMute) -> list[RuleChange]:
        if mute.room_id == ROOM:
            raise trouble
        return end_mute(rules, mute)

    monkeypatch.setattr(mutes, "end_mute", end_or_fail)
    for room_id in (ROOM, RoomId("!other:example.org")):
        stage.ledger.timed_mutes[room_id] = TimedMute(room_id, room_id, 0)
    async with stage.running() as task:
        await until(lambda: list(stage.ledger.timed_mutes) == [ROOM])
        assert not task.done()
