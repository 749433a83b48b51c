"""The quiet loop: pauses and quiet hours in time, over a wall clock that may be set."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from edges.loops.stage import WallClock
from heliograph.core.popups.quiet import Pause, Quiet, QuietHours, Through, parse_hours
from heliograph.core.summary.summary import UNTIL_RESUMED
from heliograph.errors import StateError, UserError
from heliograph.loops.quiet import QuietLoop
from heliograph.system.time_zone import LocalZone
from support.waiting import until

HOUR = 3600
HOUR_MS = 3_600_000
THROUGH = Through(ids=frozenset({"!family:example.org"}))


class Stage:
    """A quiet loop, what it kept, and when it told of a change."""

    def __init__(self, clock: WallClock, *hours: str, paused_until_ms: int = 0) -> None:
        self.clock = clock
        self.kept: list[int] = []
        self.is_disk_full = False
        self.changes: list[str] = []
        self.faults = 0
        """How often who is told of a change fails."""
        self.loop = QuietLoop(
            QuietHours(tuple(map(parse_hours, hours))),
            THROUGH,
            LocalZone(),
            clock=clock,
            keep=self._keep,
            pause=Pause(paused_until_ms),
        )

    async def _keep(self, pause: Pause) -> None:
        if self.is_disk_full:
            raise StateError("full", "make room")
        self.kept.append(pause.until_ms)

    def _note(self) -> None:
        if self.faults:
            self.faults -= 1
            raise RuntimeError("a fault")
        quiet = self.loop.quiet
        self.changes.append("" if quiet is None else quiet.why)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.loop.run(self._note))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_a_pause_ends_by_itself_and_is_kept(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        until_ms = await stage.loop.pause("1h")
        assert stage.loop.quiet == Quiet("paused", until_ms)
        assert stage.loop.through == THROUGH
        assert stage.loop.paused_until_ms == until_ms
        await until(lambda: stage.changes == ["paused"])
        await asyncio.sleep(HOUR)
        await until(lambda: stage.changes == ["paused", ""])
    assert stage.kept == [until_ms]
    assert stage.loop.through is None
    assert stage.loop.paused_until_ms == 0


async def test_who_pauses_counts_as_away_from_here_unless_the_pause_is_for_all(clock: WallClock) -> None:
    stage = Stage(clock, "00:00-24:00")
    assert stage.loop.why_away == "these are quiet hours here"
    await stage.loop.pause("1h")
    assert stage.loop.why_away == "you have paused notifications here"
    await stage.loop.pause("1h", is_everywhere=True)
    assert stage.loop.why_away == ""


async def test_a_pause_lasts_until_it_is_ended(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        assert await stage.loop.pause("") == UNTIL_RESUMED
        await until(lambda: stage.changes == ["paused"])
        await asyncio.sleep(1000 * HOUR)
        await stage.loop.resume()
        await until(lambda: stage.changes == ["paused", ""])
    assert stage.kept == [UNTIL_RESUMED, 0]


async def test_a_pause_from_before_the_start_goes_on(clock: WallClock) -> None:
    stage = Stage(clock, paused_until_ms=clock() + HOUR_MS)
    async with stage.running():
        await until(lambda: stage.changes == ["paused"])
        await asyncio.sleep(2 * HOUR)
        assert stage.changes == ["paused", ""]


async def test_quiet_hours_come_and_go_each_day(clock: WallClock) -> None:
    stage = Stage(clock, "22:00-07:00")
    async with stage.running():
        await asyncio.sleep(72 * HOUR)
    # Three or four, by where in the day the test's time begins here.
    assert stage.changes.count("quiet hours") in (3, 4)
    assert stage.changes[:6] in (["quiet hours", ""] * 3, ["", "quiet hours"] * 3)


async def test_a_machine_that_slept_finds_out_when_it_is_told(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        await stage.loop.pause("8h")
        await until(lambda: stage.changes == ["paused"])
        clock.jump(9 * HOUR)
        stage.loop.look()
        await until(lambda: stage.changes == ["paused", ""])


async def test_a_clock_that_was_set_is_noticed_within_the_quarter_hour(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        await stage.loop.pause("8h")
        await until(lambda: stage.changes == ["paused"])
        clock.jump(9 * HOUR)
        await asyncio.sleep(901)
        assert stage.changes == ["paused", ""]


async def test_words_that_are_none_change_nothing(clock: WallClock) -> None:
    stage = Stage(clock)
    with pytest.raises(UserError, match="is not written like"):
        await stage.loop.pause("a while")
    assert stage.loop.quiet is None
    assert stage.kept == []


async def test_a_pause_that_cannot_be_kept_is_none(clock: WallClock) -> None:
    stage = Stage(clock)
    stage.is_disk_full = True
    with pytest.raises(StateError):
        await stage.loop.pause("1h")
    assert stage.loop.quiet is None


@pytest.mark.expected_log("quiet crashed", times=2)
async def test_a_change_that_could_not_be_told_for_a_fault_of_our_own_is_told_later(clock: WallClock) -> None:
    stage = Stage(clock)
    async with stage.running():
        await stage.loop.pause("1h")
        await until(lambda: stage.changes)
        stage.faults = 2
        await asyncio.sleep(HOUR + 10)
    assert stage.changes == ["paused", ""]
