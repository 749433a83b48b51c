"""A thousand loud messages in a minute: what of it the user sees and hears, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections import Counter
from pathlib import Path

import aiohttp

from benchmarks.contestants import Heliograph
from benchmarks.phases import Figures, Sender, percentile, take_notes
from fakes.notification_profiles import GNOME
from fakes.notification_server import NotificationServer
from heliograph.core.popups.bursts import BURST_MS
from heliograph.demo.homeserver import ThrowawaySynapse
from support.buses import PrivateBus

_ROOMS = 5
_WARM_UP = 2
"""Messages to each room beforehand."""
_TITLE = re.compile(r"(Room \d+)(?: \((\d+) new\))?")


class _Screen:
    """Notes when a room's popup first counted each of its messages."""

    def __init__(self, server: NotificationServer) -> None:
        self._server = server
        self.counted: Counter[str] = Counter()
        self.came: dict[tuple[str, int], int] = {}
        self._seen = 0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await self._server.until(lambda: len(self._server.shown) > self._seen)
            now = time.monotonic_ns()
            for shown in self._server.shown[self._seen :]:
                if title := _TITLE.fullmatch(shown.summary):
                    room, count = title[1], int(title[2] or 1)
                    self.came |= {(room, number): now for number in range(self.counted[room] + 1, count + 1)}
                    self.counted[room] = max(self.counted[room], count)
            self._seen = len(self._server.shown)

    async def all_counted(self, messages: int) -> None:
        """Returns after ten seconds without them, too."""
        with contextlib.suppress(TimeoutError):
            await self._server.until(lambda: self.counted.total() >= messages)

    @property
    def sounds(self) -> int:
        return sum("suppress-sound" not in shown.hints for shown in self._server.shown)


async def measure_flood(server: ThrowawaySynapse, folder: Path, count: int, seconds: float) -> Figures:
    """`count` messages, evenly over `seconds`."""
    user, alice = await server.register("reader"), await server.register("writer")
    rooms = {f"Room {number}": "" for number in range(_ROOMS)}
    for name in rooms:
        # Of two members: such rooms are loud.
        rooms[name] = await alice.create_room(name, invite=[user])
        await user.join(rooms[name])
    with PrivateBus() as bus:
        # One that plays sounds: of the others nothing on the bus tells which notification had one.
        display = NotificationServer(bus.address, GNOME)
        await display.start()
        notes = folder / "heartbeat.json"
        daemon = Heliograph(notes)
        await asyncio.to_thread(daemon.sign_in, user, folder, bus.address)
        process, _ = await daemon.start(user, folder, bus.address)
        screen = _Screen(display)
        watching = asyncio.create_task(screen.watch())
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
                sender = Sender(alice, session)
                for number in range(_WARM_UP):
                    await asyncio.gather(*(sender.send(room, f"warm-up {number}") for room in rooms.values()))
                await screen.all_counted(_WARM_UP * _ROOMS)
                process.signal(signal.SIGUSR1)
                await asyncio.to_thread(take_notes, notes)
                rss, sounds = process.rss_mb(), screen.sounds
                begun, took_s = await _send(sender, rooms, count, seconds)
                await screen.all_counted(count + _WARM_UP * _ROOMS)
                process.check()
                process.signal(signal.SIGUSR1)
                beats = await asyncio.to_thread(take_notes, notes)
                latencies = [(screen.came[key] - at) / 1e6 for key, at in begun.items() if key in screen.came]
                return {
                    "flood_messages": float(count),
                    "flood_s": took_s,
                    "flood_lost": float(count - len(latencies)),
                    "flood_p50_ms": percentile(latencies, 50),
                    "flood_p99_ms": percentile(latencies, 99),
                    "flood_longest_block_ms": float("nan") if beats is None else beats["longest_ms"],
                    "flood_sounds_per_fold": (screen.sounds - sounds) * BURST_MS / 1000 / took_s,
                    "flood_rss_grows_mb": process.rss_mb() - rss,
                }
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await process.stop()
            await display.stop()


async def _send(
    sender: Sender, rooms: dict[str, str], count: int, seconds: float
) -> tuple[dict[tuple[str, int], int], float]:
    """When each was begun, by the name of its room and its number there; and how long all took."""
    begun: dict[tuple[str, int], int] = {}
    began = time.monotonic()
    names = list(rooms)
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number * seconds / count - time.monotonic()))
        name = names[number % len(names)]
        begun[name, _WARM_UP + 1 + number // len(names)] = await sender.send(rooms[name], f"message {number}")
    return begun, time.monotonic() - began
