"""The phases of a run: idle, single messages, starts, catching up. Each returns figures by name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.arrivals import Arrivals, mark
from benchmarks.contestants import Contestant, Heliograph
from benchmarks.processes import Measured
from heliograph.demo.user import DemoUser

Figures = dict[str, float]
_SAMPLE_S = 0.1
_LOST_AFTER_S = 10.0
_QUIET_S = 3.0


@dataclass(slots=True)
class Entry:
    """A contestant in a run, with a user and a room of its own: a message wakes one of them only."""

    contestant: Contestant
    user: DemoUser
    room: str
    home: Path
    process: Measured


class Sender:
    """Sends messages over one kept connection, and tells when each was begun (CLOCK_MONOTONIC in ns)."""

    def __init__(self, user: DemoUser, session: aiohttp.ClientSession) -> None:
        self._user = user
        self._session = session
        self._serial = 0

    async def send(self, room: str, body: str) -> int:
        self._serial += 1
        url = f"{self._user.base_url}/_matrix/client/v3/rooms/{room}/send/m.room.message/bench{self._serial}"
        headers = {"Authorization": f"Bearer {self._user.access_token}"}
        begun = time.monotonic_ns()
        content = {"msgtype": "m.text", "body": body}
        async with self._session.put(url, json=content, headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()
        return begun


async def warm_up(entries: Sequence[Entry], sender: Sender, arrivals: Arrivals) -> None:
    """Until each has shown something once: imports, caches and first rooms are behind them."""
    for entry in entries:
        for number in range(30):
            text = mark(f"warm-{entry.contestant.name}", number)
            await sender.send(entry.room, text)
            if await arrivals.wait(text, 2):
                break
            entry.process.check()
        else:
            raise RuntimeError(f"{entry.contestant.name} showed nothing: {entry.process.last_words()}")
        for number in range(100, 110):
            text = mark(f"warm-{entry.contestant.name}", number)
            await sender.send(entry.room, text)
            await arrivals.wait(text, 2)


async def idle(entries: Sequence[Entry], seconds: float) -> dict[str, Figures]:
    """Nothing happens. All at once, since nobody disturbs the others."""
    await asyncio.sleep(5)
    before = {entry.contestant.name: entry.process.usage() for entry in entries}
    last = {name: usage.switches for name, usage in before.items()}
    bursts = dict.fromkeys(before, 0)
    was_awake = dict.fromkeys(before, False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(_SAMPLE_S)
        for entry in entries:
            name = entry.contestant.name
            switches = entry.process.usage().switches
            is_awake = switches != last[name]
            bursts[name] += is_awake and not was_awake[name]
            last[name], was_awake[name] = switches, is_awake
    figures: dict[str, Figures] = {}
    for entry in entries:
        name, now = entry.contestant.name, entry.process.usage()
        figures[name] = {
            "idle_rss_mb": entry.process.rss_mb(),
            "idle_wakeups_per_hour": bursts[name] * 3600 / seconds,
            "idle_switches_per_hour": (now.switches - before[name].switches) * 3600 / seconds,
            "idle_cpu_ms_per_hour": (now.cpu_ms - before[name].cpu_ms) * 3600 / seconds,
        }
    return figures


async def messages(entries: Sequence[Entry], count: int, sender: Sender, arrivals: Arrivals) -> dict[str, Figures]:
    """One message at a time, to each in turn: all meet the same homeserver in the same minutes."""
    before = {entry.contestant.name: entry.process.usage() for entry in entries}
    took: dict[str, list[float]] = {name: [] for name in before}
    for number in range(count):
        for entry in entries:
            text = mark(entry.contestant.name, number)
            begun = await sender.send(entry.room, text)
            came = await arrivals.wait(text, _LOST_AFTER_S)
            took[entry.contestant.name].append(math.inf if came is None else (came - begun) / 1e6)
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    figures: dict[str, Figures] = {}
    for entry in entries:
        name = entry.contestant.name
        figures[name] = {
            "notify_p50_ms": percentile(took[name], 50),
            "notify_p99_ms": percentile(took[name], 99),
            "notify_lost": float(sum(math.isinf(value) for value in took[name])),
            "cpu_ms_per_message": (entry.process.usage().cpu_ms - before[name].cpu_ms) / count,
            "rss_after_messages_mb": entry.process.rss_mb(),
        }
    return figures


async def disk_use(
    user: DemoUser, room: str, count: int, sender: Sender, arrivals: Arrivals, home: Path, bus: str
) -> Figures:
    """What each of `count` messages, one at a time, asks of SQLite. Measured alone, since counting costs time."""
    notes = home / "heartbeat.json"
    daemon = Heliograph(notes)
    await asyncio.to_thread(daemon.sign_in, user, home, bus)
    process, _ = await daemon.start(user, home, bus)
    try:
        await warm_up([Entry(daemon, user, room, home, process)], sender, arrivals)
        await asyncio.sleep(1)
        process.signal(signal.SIGUSR1)
        await asyncio.to_thread(take_notes, notes)
        for number in range(count):
            text = mark("counted", number)
            await sender.send(room, text)
            await arrivals.wait(text, _LOST_AFTER_S)
            # Longer than bars wait for a change.
            await asyncio.sleep(0.2)
        process.signal(signal.SIGUSR1)
        told = await asyncio.to_thread(take_notes, notes)
        if told is None:
            raise RuntimeError(f"no heartbeat: {process.last_words()}")
        return {f"{name}_per_message": told[name] / count for name in ("hops", "commits")}
    finally:
        await process.stop()


async def starts(
    contestant: Contestant, users: Mapping[str, DemoUser], times: int, folder: Path, bus: str
) -> dict[str, Figures]:
    """Seconds to ready: the first start of all, and a later one, for users with few and with many rooms in turn."""
    took: dict[str, list[float]] = {}
    for number in range(times):
        for size, user in users.items():
            home = folder / f"start-{contestant.name}-{size}-{number}"
            # Who starts anew is a new device: an old one has keys.
            device = await user.login_again(home.name)
            await asyncio.to_thread(contestant.sign_in, device, home, bus)
            for kind in ("first", "later"):
                process, ready = await contestant.start(device, home, bus)
                await asyncio.sleep(0.2)
                await process.stop()
                took.setdefault(f"{kind}_start_{size}_s", []).append(ready)
    return {contestant.name: {name: statistics.median(values) for name, values in took.items()}}


async def catch_up(user: DemoUser, fill: Sequence[tuple[str, int]], sender: Sender, folder: Path, bus: str) -> Figures:
    """The longest time the event loop did nothing else, while it catches up with `fill` (room, messages)."""
    notes = folder / "heartbeat.json"
    daemon = Heliograph(notes)
    home = folder / "catch-up"
    user = await user.login_again(home.name)
    await asyncio.to_thread(daemon.sign_in, user, home, bus)
    figures: Figures = {"catch_up_events": float(sum(count for _, count in fill))}
    await _beats(daemon, user, home, bus, notes)  # a first start, which has nothing to catch up with
    alone = await _beats(daemon, user, home, bus, notes)
    for room, count in fill:
        for number in range(count):
            await sender.send(room, f"while you were away {number}")
    busy = await _beats(daemon, user, home, bus, notes)
    for when, beats in (("start_alone", alone), ("catch_up", busy)):
        figures |= {f"{when}_longest_block_ms": beats["longest_ms"]}
        figures |= {f"{when}_longest_block_cpu_ms": beats["longest_cpu_ms"]}
    return figures | {"catch_up_cpu_ms": busy["cpu_ms"], "catch_up_rss_mb": busy["rss_mb"]}


async def _beats(daemon: Heliograph, user: DemoUser, home: Path, bus: str, notes: Path) -> Figures:
    process, _ = await daemon.start(user, home, bus)
    try:
        await _quiet(process)
        figures = {"cpu_ms": process.usage().cpu_ms, "rss_mb": process.rss_mb()}
        process.signal(signal.SIGUSR1)
        told = await asyncio.to_thread(take_notes, notes)
        if told is None:
            raise RuntimeError(f"no heartbeat: {process.last_words()}")
        return figures | {name: told[name] for name in ("longest_ms", "longest_cpu_ms")}
    finally:
        await process.stop()


def take_notes(notes: Path) -> Figures | None:
    """Of the heart (heartbeat.py), once it was asked for them. None: they did not come."""
    for _ in range(500):
        with contextlib.suppress(FileNotFoundError):
            told: Figures = json.loads(notes.read_text())
            notes.unlink()
            return told
        time.sleep(0.01)
    return None


async def _quiet(process: Measured) -> None:
    """Until it has used less than a tenth of a processor for some seconds; the heart itself beats all the time."""
    since = time.monotonic()
    end = since + 180
    while time.monotonic() < end:
        before = process.usage().cpu_ms
        await asyncio.sleep(0.5)
        process.check()
        if process.usage().cpu_ms - before > 100:
            since = time.monotonic()
        if time.monotonic() - since > _QUIET_S:
            return


def percentile(values: Sequence[float], wanted: int) -> float:
    """By nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * wanted / 100) - 1)]
