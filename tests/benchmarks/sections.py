"""How each section of the report is measured, each on a homeserver and a bus of its own."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks.actions import measure_actions
from benchmarks.arrivals import Arrivals
from benchmarks.contestants import CONTESTANTS, Contestant, Floor, Heliograph
from benchmarks.encryption import measure_encryption
from benchmarks.flood import measure_flood
from benchmarks.phases import Entry, Figures, Sender, catch_up, disk_use, idle, messages, starts, warm_up
from benchmarks.relay import measure_relay
from benchmarks.relay_load import measure_load
from benchmarks.rules import measure_rules
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.guarded_synapse import GuardedSynapse
from support.log_guard import watching

_SETTINGS = {"default_room_version": "11"}
"""matrix-commander refuses room ids without a server name, which newer rooms have."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it: what is small is quick, and noisy."""

    name: str
    messages: int
    counted: int
    idle_s: float
    rooms: int
    events_per_room: int
    starts: int
    clicks: int
    flood: int
    flood_s: float
    syncs: int
    pushes: int
    encrypted: int
    load: tuple[int, int, int]
    """Pushes, old rows, users."""


WHOLE = Size("whole", 300, 50, 240, 500, 20, 5, 200, 1000, 60, 500, 100, 2000, (3000, 1_000_000, 10_000))
QUICK = Size("quick", 40, 10, 40, 40, 20, 2, 20, 100, 6, 200, 15, 500, (600, 20_000, 1_000))


@dataclass(slots=True)
class Found:
    """What a section gave: figures by contestant, why something was not measured, and what was out of order."""

    figures: dict[str, Figures] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """What its programs warned of, and what the homeserver refused."""

    def add(self, figures: dict[str, Figures]) -> None:
        for name, values in figures.items():
            self.figures.setdefault(name, {}).update(values)


@dataclass(frozen=True, slots=True)
class Stage:
    """A homeserver with somebody who sends, a bus, and a folder, for one section."""

    size: Size
    server: ThrowawaySynapse
    bus: str
    arrivals: Arrivals
    folder: Path
    user: DemoUser
    sender: Sender

    async def share_room(self, user: DemoUser, number: int) -> str:
        room = await self.user.create_room(f"Room {number}", preset="public_chat")
        await user.join(room)
        return room


def say(sentence: str) -> None:
    print(f"  {sentence}", flush=True)


@contextlib.asynccontextmanager
async def _open_stage(size: Size) -> AsyncIterator[Stage]:
    with PrivateBus() as bus, tempfile.TemporaryDirectory(prefix="heliograph-bench-") as folder:
        arrivals = Arrivals()
        await arrivals.start(bus.address)
        try:
            async with (
                GuardedSynapse(settings=_SETTINGS, progress=lambda _: None) as server,
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            ):
                user = await server.register("sender")
                yield Stage(size, server, bus.address, arrivals, Path(folder), user, Sender(user, session))
        finally:
            await arrivals.stop()


async def _measure_messages(stage: Stage, found: Found) -> None:
    entries = [entry for contestant in CONTESTANTS if (entry := await _enter(stage, contestant(), found))]
    try:
        await warm_up(entries, stage.sender, stage.arrivals)
        say(f"idle for {stage.size.idle_s:.0f} s")
        found.add(await idle(entries, stage.size.idle_s))
        say(f"{stage.size.messages} messages to each")
        found.add(await messages(entries, stage.size.messages, stage.sender, stage.arrivals))
    finally:
        for entry in entries:
            await entry.process.stop()
    say(f"what {stage.size.counted} messages ask of the disk")
    user = await stage.server.register("user-counted")
    room, home = await stage.share_room(user, 1), stage.folder / "counted"
    counted = disk_use(user, room, stage.size.counted, stage.sender, stage.arrivals, home, stage.bus)
    found.add({Heliograph.name: await counted})


async def _enter(stage: Stage, contestant: Contestant, found: Found) -> Entry | None:
    say(f"{contestant.name} starts")
    user = await stage.server.register(f"user-of-{contestant.name}")
    room = await stage.share_room(user, 0)
    home = stage.folder / contestant.name
    try:
        await asyncio.to_thread(contestant.sign_in, user, home, stage.bus)
        process, _ = await contestant.start(user, home, stage.bus)
    except RuntimeError as error:
        found.notes[contestant.name] = str(error)
        return None
    return Entry(contestant, user, room, home, process)


async def _measure_starts(stage: Stage, found: Found) -> None:
    size = stage.size
    say(f"{size.rooms} rooms are made")
    few, many = await stage.server.register("few"), await stage.server.register("many")
    await stage.share_room(few, 0)
    rooms = [await stage.share_room(many, number) for number in range(size.rooms)]
    users = {"few": few, "many": many}
    contestants: Sequence[Contestant] = (Floor(), Heliograph())
    for contestant in contestants:
        say(f"{contestant.name} starts")
        found.add(await starts(contestant, users, size.starts, stage.folder, stage.bus))
    say(f"catching up with {size.rooms * size.events_per_room} events")
    fill = [(room, size.events_per_room) for room in rooms]
    found.add({Heliograph.name: await catch_up(many, fill, stage.sender, stage.folder, stage.bus)})


async def _measure_actions(stage: Stage, found: Found) -> None:
    found.add({Heliograph.name: await measure_actions(stage.server, stage.folder / "home", stage.size.clicks)})


async def _measure_flood(stage: Stage, found: Found) -> None:
    size = stage.size
    found.add({Heliograph.name: await measure_flood(stage.server, stage.folder / "home", size.flood, size.flood_s)})


async def _measure_relay(stage: Stage, found: Found) -> None:
    found.add(await measure_relay(stage.server, stage.folder / "home", stage.size.syncs, stage.size.pushes))


async def _measure_load(stage: Stage, found: Found) -> None:
    found.add(await measure_load(stage.folder / "load", *stage.size.load))


async def _measure_encryption(stage: Stage, found: Found) -> None:
    place = stage.folder / "home"
    found.add(await measure_encryption(stage.server, stage.arrivals, stage.bus, place, stage.size.encrypted))


_ON_STAGE: dict[str, Callable[[Stage, Found], Awaitable[None]]] = {
    "messages": _measure_messages,
    "starts": _measure_starts,
    "actions": _measure_actions,
    "flood": _measure_flood,
    "relay": _measure_relay,
    "load": _measure_load,
    "encryption": _measure_encryption,
}


async def measure_section(name: str, size: Size) -> Found:
    """Never raises for what goes wrong in it: what was measured until then is kept, and the reason told."""
    found = Found()
    try:
        if name not in _ON_STAGE:
            found.add(measure_rules(is_quick=size is QUICK))
            return found
        with watching() as guard:
            guard.expect("daemon warning: Sounds cannot be played", times=(0, None))
            async with _open_stage(size) as stage:
                try:
                    await _ON_STAGE[name](stage, found)
                finally:
                    # The stage's folder holds the logs.
                    guard.finish_all()
                    found.complaints = guard.complaints()
    except Exception as error:
        found.notes["the rest"] = f"{error} {getattr(error, 'hint', '')}".strip() or repr(error)
    return found
