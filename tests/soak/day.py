"""A day of the daemon in minutes: its clock is stepped, all else is real but the homeserver, which is played to it.

What passes in the daemon's day: messages in bursts, idle polls, suspends with logind's say, a homeserver that goes and
comes back, and a notification server that restarts with each hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.contestants import Heliograph, environ
from benchmarks.processes import Measured, start
from fakes.login1 import FakeLogind
from fakes.notification_server import NotificationServer
from heliograph.demo.user import DemoUser
from soak.clock import SteppedClock
from soak.homeserver import DEVICE, TOKEN, SoakHomeserver
from soak.sample import Sample, grown, take_sample
from soak.traffic import Sender, Traffic
from support.builders import ME
from support.log_guard import current_guard
from support.waiting import until

_TESTS = Path(__file__).resolve().parents[1]
_PATIENCE_S = 60.0
_RETURN_S = 20.0
_LONGEST_STEP_S = 45.0
"""Below the daemon's deadlines for a poll."""
_GONE = ("read elsewhere", "deleted by its sender or a moderator")
"""Reasons for silence that come of what happened meanwhile."""
_HISTORY_DAYS = 2
"""Longer than the day with all its suspends, so that everything of it is in the ledger at its end."""
_AFTERWARDS_H = 72
_QUIET_MINUTES = 8
"""Of each hour, at its end. Then the machine sleeps once more, since that drops the sockets that are kept for reuse:
how many there are depends on how much was asked at once."""


@dataclass(frozen=True, slots=True)
class Size:
    """All of it in so many hours awake, to which the suspends come, of three minutes each."""

    hours: int
    events: int
    suspends: int
    restarts: int
    rooms: int


WHOLE = Size(hours=24, events=20_000, suspends=200, restarts=50, rooms=200)
SHORT = Size(hours=2, events=200, suspends=4, restarts=2, rooms=20)


@dataclass(frozen=True, slots=True)
class Result:
    """What a day came to."""

    samples: list[Sample]
    pruned: Sample
    """After some days without events, when nothing of that day is remembered any longer."""
    open_deliveries: int
    """Unread and on screen then, or waiting for it."""
    rooms: int
    """That the user was in, or invited to, at the end."""
    lost: list[str]
    """Events that ought to have rung, and neither did nor had been read or deleted before they could."""
    rang: int
    suspends: int
    let_sleep: int
    """How many of the suspends the daemon let go on before logind's five seconds were over."""
    restarts: int
    syncs: int
    took_s: float


class Day:
    """`play` plays it once."""

    def __init__(
        self,
        size: Size,
        dice: Random,
        process: Measured,
        clock: SteppedClock,
        folder: Path,
        server: SoakHomeserver,
        screen: NotificationServer,
        logind: FakeLogind,
        traffic: Traffic,
    ) -> None:
        self._size = size
        self._dice = dice
        self._process = process
        self._clock = clock
        self._folder = folder
        self._server = server
        self._screen = screen
        self._logind = logind
        self._traffic = traffic
        self._suspends = self._let_sleep = 0

    async def play(self, tell: Callable[[Sample], None] = lambda _: None) -> Result:
        began = time.monotonic()
        size = self._size
        samples: list[Sample] = []
        minutes = size.hours * 60
        busy = [minute for minute in range(minutes) if minute % 60 < 60 - _QUIET_MINUTES]
        events = self._spread(size.events, busy)
        suspends, restarts = self._spread(size.suspends, busy), self._spread(size.restarts, busy)
        await self._settle()
        for minute in range(minutes):
            await self._pass_minute(events.get(minute, 0), suspends.get(minute, 0), restarts.get(minute, 0))
            if minute % 60 == 59:
                await self._screen.restart()
                await self._sleep(hours=1 / 60)
                await self._pass_idle(120)
                samples.append(await self._sample((minute + 1) / 60, samples[0] if samples else None))
                tell(samples[-1])
        lost = await asyncio.to_thread(_lost, self._state / "ledger.db", self._server.rung)
        await self._sleep(hours=_AFTERWARDS_H)
        await self._pass_idle(120)
        pruned = await self._sample(size.hours + _AFTERWARDS_H)
        return Result(
            samples=samples,
            pruned=pruned,
            open_deliveries=await asyncio.to_thread(_count_open, self._state / "ledger.db"),
            rooms=self._traffic.rooms,
            lost=lost,
            rang=len(self._server.rung),
            suspends=self._suspends,
            let_sleep=self._let_sleep,
            restarts=size.restarts,
            syncs=self._server.syncs,
            took_s=time.monotonic() - began,
        )

    async def published(self) -> None:
        """Returns when others can encrypt for the daemon."""
        await self._until(lambda: bool(self._server.one_time_keys) and self._server.is_awaited, "its keys")

    @property
    def _state(self) -> Path:
        return self._folder / ".local/state/heliograph" / ME

    def _spread(self, count: int, minutes: list[int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for minute in self._dice.choices(minutes, k=count):
            found[minute] = found.get(minute, 0) + 1
        return found

    async def _sample(self, hour: float, at_most: Sample | None = None) -> Sample:
        """Waits a while for the programs that it started to end, and for what it holds to be no more than `at_most`."""
        deadline = time.monotonic() + _RETURN_S
        with contextlib.suppress(AssertionError):
            await until(self._is_alone, "the end of what it started", _RETURN_S)
        await self._quiet()
        while True:
            counts = self._folder / "counts.json"
            sample = await take_sample(self._process, counts, self._state, hour=hour, events=self._traffic.events)
            if at_most is None or not grown(at_most, sample) or time.monotonic() > deadline:
                return sample
            await asyncio.sleep(0.2)

    async def _is_alone(self) -> bool:
        return not await asyncio.to_thread(_has_children, self._process.pid)

    # Time

    async def _pass_minute(self, events: int, suspends: int, restarts: int) -> None:
        away = min(events, suspends * 4 + restarts * 4)
        apart = [away // max(1, suspends + restarts)] * (suspends + restarts)
        rest = events - sum(apart)
        while rest:
            burst = min(rest, self._dice.randint(1, 8))
            rest -= burst
            await self._traffic.happen_often(burst)
            await self._settle()
            await self._step(self._dice.uniform(0.5, 3))
        for missed in apart[:suspends]:
            await self._suspend(missed)
        for missed in apart[suspends:]:
            await self._restart_server(missed)
        await self._pass_idle(50)

    async def _pass_idle(self, seconds: float) -> None:
        while seconds > 0:
            await self._step(min(seconds, _LONGEST_STEP_S))
            seconds -= _LONGEST_STEP_S
            self._server.end_polls()
            await self._settle()

    async def _step(self, seconds: float) -> None:
        self._clock.step(seconds)
        self._server.pass_time(time.time_ns() // 1_000_000 + self._clock.wall_ns // 1_000_000)
        self._process.signal(signal.SIGUSR1)
        await self._quiet()

    async def _settle(self) -> None:
        """Until the daemon has taken all there is, and shown it."""
        await self._until(lambda: self._server.is_awaited, "a poll for news")
        await self._quiet()

    async def _quiet(self) -> None:
        """Returns when the daemon sleeps, and has slept for some looks."""
        looks = 0
        before = None
        while looks < 3:
            now = await asyncio.to_thread(_activity, self._process.pid)
            looks = looks + 1 if now is not None and now == before else 0
            before = now
            await asyncio.sleep(0.001)

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not come: {await asyncio.to_thread(self._process.last_words)}")
            self._process.check()
            await asyncio.sleep(0.001)

    # What befalls it

    async def _suspend(self, missed: int) -> None:
        await self._sleep(hours=self._dice.uniform(1, 5) / 60, missed=missed)

    async def _sleep(self, *, hours: float, missed: int = 0) -> None:
        """As logind does it: says so, waits for who holds it up, sleeps, says that it is over."""
        await self._until(lambda: self._logind.inhibitors == 1, "the inhibitor")
        self._suspends += 1
        waited = await self._logind.suspend(5)
        self._let_sleep += waited < 5
        self._process.signal(signal.SIGSTOP)
        await self._traffic.happen_often(missed)
        if self._dice.random() < 0.5:
            await self._server.stop()
            await self._server.start()
        self._clock.step(hours * 3600, is_asleep=True)
        self._process.signal(signal.SIGCONT)
        self._logind.resume()
        await self._until(lambda: self._logind.inhibitors == 1, "the inhibitor after sleep")
        await self._catch_up()

    async def _restart_server(self, missed: int) -> None:
        await self._server.stop()
        await self._traffic.happen_often(missed)
        for _ in range(self._dice.randint(1, 5)):
            await self._step(self._dice.uniform(1, 20))
        await self._server.start()
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Steps through what the daemon waits before it tries again."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self._server.is_awaited:
            await asyncio.sleep(0.01)
            if not self._server.is_awaited:
                await self._step(1)
            if time.monotonic() > deadline:
                raise RuntimeError(f"it did not come back: {await asyncio.to_thread(self._process.last_words)}")
        await self._settle()


@contextlib.asynccontextmanager
async def open_day(size: Size, folder: Path, bus: str, seed: int) -> AsyncIterator[Day]:
    """The daemon, signed in and connected, with all that it needs, on this bus and in this folder."""
    dice = Random(seed)
    guard = current_guard()
    guard.expect(f"daemon warning: {ME}: (nothing answers|the connection was closed)", times=(0, None))
    # Whether the machine has a player of sounds is not what is tried here.
    # A click just before the homeserver restarts.
    guard.expect("daemon warning: Not done in .*: mark as read .The homeserver cannot be reached", times=(0, None))
    guard.expect("daemon warning: Sounds cannot be played: install", times=(0, 1))
    async with contextlib.AsyncExitStack() as stack:
        server, screen, logind = SoakHomeserver(), NotificationServer(bus), FakeLogind(bus)
        for part in (server, screen, logind):
            await part.start()
            stack.push_async_callback(part.stop)
        sender = await Sender.open(server, folder / "sender")
        stack.push_async_callback(sender.close)
        clock = await asyncio.to_thread(SteppedClock.create, folder / "clock")
        stack.callback(clock.close)
        user = DemoUser(server.url, ME, DEVICE, TOKEN, "")
        await asyncio.to_thread(Heliograph().sign_in, user, folder, bus)
        process = await asyncio.to_thread(_start, folder, bus)
        stack.push_async_callback(process.stop)
        await process.wait_told(" connected", "=connected")
        traffic = Traffic(server, sender, screen, dice, size.rooms)
        day = Day(size, dice, process, clock, folder, server, screen, logind, traffic)
        await day.published()
        yield day


def _start(folder: Path, bus: str) -> Measured:
    configuration = folder / ".config/heliograph/config.toml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(f"[history]\ndays = {_HISTORY_DAYS}\n")
    words = [str(_TESTS / "soak/launcher.py"), str(folder / "clock"), str(folder / "counts.json")]
    path = os.pathsep.join(each for each in sys.path if each)
    return start([sys.executable, *words], {**environ(folder, bus), "PYTHONPATH": path}, folder)


def _activity(pid: int) -> tuple[str, ...] | None:
    """How much its threads ran so far; None: one of them runs, or wants to."""
    ran: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if (task / "stat").read_text().rpartition(")")[2].split()[0] not in "ST":
                return None
            ran.append((task / "schedstat").read_text())
    return tuple(ran)


def _has_children(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return any((task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir())
    return False


def _lost(ledger: Path, event_ids: list[str]) -> list[str]:
    query = "SELECT event_id FROM deliveries UNION SELECT event_id FROM judged WHERE reason IN (?, ?)"
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        known = {event_id for (event_id,) in db.execute(query, _GONE)}
    return [event_id for event_id in event_ids if event_id not in known]


def _count_open(ledger: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        query = "SELECT count(*) FROM deliveries WHERE state IN ('pending', 'shown', 'dismissed', 'lost')"
        return int(db.execute(query).fetchone()[0])
