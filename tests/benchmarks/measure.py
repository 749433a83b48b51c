"""Measures every contestant in one run on one homeserver, prints a table and writes JSON. Asserts nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.actions import NAME as ACTIONS
from benchmarks.actions import measure_actions
from benchmarks.arrivals import Arrivals
from benchmarks.contestants import CONTESTANTS, Contestant, Floor, Heliograph
from benchmarks.encryption import measure_encryption
from benchmarks.phases import Entry, Figures, Sender, catch_up, idle, messages, starts, warm_up
from benchmarks.relay import NAME as RELAY
from benchmarks.relay import measure_relay
from benchmarks.report import DEFINITIONS, ratios, write_table
from benchmarks.rules import measure_rules
from buses import PrivateBus
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import HeliographError


@dataclass(frozen=True, slots=True)
class Size:
    messages: int
    idle_s: float
    rooms: int
    events_per_room: int
    starts: int
    syncs: int
    encrypted: int


_WHOLE = Size(messages=300, idle_s=240, rooms=500, events_per_room=20, starts=5, syncs=500, encrypted=2000)
_QUICK = Size(messages=40, idle_s=40, rooms=40, events_per_room=20, starts=2, syncs=200, encrypted=500)
RULES = "rules"
"""Named among the contestants; it needs no homeserver."""
ENCRYPTION = "encryption"
_SETTINGS = {"default_room_version": "11"}
"""matrix-commander refuses room ids without a server name, which newer rooms have."""


class Run:
    """One run: what was measured so far, and why something was not."""

    def __init__(self, size: Size, server: ThrowawaySynapse, bus: str, folder: Path, sender: DemoUser) -> None:
        self.figures: dict[str, Figures] = {}
        self.notes: dict[str, str] = {}
        self._size = size
        self._server = server
        self._bus = bus
        self._folder = folder
        self._user = sender

    async def measure(self, chosen: list[str], sender: Sender, arrivals: Arrivals) -> None:
        taking_part = [contestant() for contestant in CONTESTANTS if contestant.name in chosen]
        entries = [entry for one in taking_part if (entry := await self._enter(one))]
        try:
            say("Warming up")
            await warm_up(entries, sender, arrivals)
            say(f"Idle for {self._size.idle_s:.0f} s")
            self.add(await idle(entries, self._size.idle_s))
            say(f"{self._size.messages} messages to each")
            self.add(await messages(entries, self._size.messages, sender, arrivals))
        finally:
            for entry in entries:
                await entry.process.stop()
        names = {entry.contestant.name for entry in entries}
        if names & {Floor.name, Heliograph.name}:
            await self._measure_sizes(names, sender)

    async def _measure_sizes(self, names: set[str], sender: Sender) -> None:
        say(f"Making {self._size.rooms} rooms")
        few, many = await self._server.register("few"), await self._server.register("many")
        await self._share_room(few, 0)
        rooms = [await self._share_room(many, number) for number in range(self._size.rooms)]
        for contestant in (Floor(), Heliograph()):
            if contestant.name in names:
                say(f"Starts of {contestant.name}")
                users = {"few": few, "many": many}
                self.add(await starts(contestant, users, self._size.starts, self._folder, self._bus))
        if Heliograph.name in names:
            say(f"Catching up with {self._size.rooms * self._size.events_per_room} events")
            fill = [(room, self._size.events_per_room) for room in rooms]
            self.add({Heliograph.name: await catch_up(many, fill, sender, self._folder, self._bus)})

    async def _enter(self, contestant: Contestant) -> Entry | None:
        say(f"Starting {contestant.name}")
        user = await self._server.register(f"user-of-{contestant.name}")
        room = await self._share_room(user, 0)
        home = self._folder / contestant.name
        try:
            await asyncio.to_thread(contestant.sign_in, user, home, self._bus)
            process, _ = await contestant.start(user, home, self._bus)
        except RuntimeError as error:
            self.notes[contestant.name] = str(error)
            return None
        return Entry(contestant, user, room, home, process)

    async def _share_room(self, user: DemoUser, number: int) -> str:
        room = await self._user.create_room(f"Room {number}", preset="public_chat")
        await user.join(room)
        return room

    def add(self, figures: dict[str, Figures]) -> None:
        for name, values in figures.items():
            self.figures.setdefault(name, {}).update(values)


def say(sentence: str) -> None:
    print(f"  {sentence}", flush=True)


async def measure(size: Size, chosen: list[str]) -> Run:
    with PrivateBus() as bus, tempfile.TemporaryDirectory(prefix="heliograph-bench-") as folder:
        arrivals = Arrivals()
        await arrivals.start(bus.address)
        try:
            async with (
                ThrowawaySynapse(settings=_SETTINGS, progress=say) as server,
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            ):
                user = await server.register("sender")
                run = Run(size, server, bus.address, Path(folder), user)
                if set(chosen) - {RELAY, ENCRYPTION, RULES, ACTIONS}:
                    await run.measure(chosen, Sender(user, session), arrivals)
                if ACTIONS in chosen:
                    say("Clicks, and messages read elsewhere")
                    took = await measure_actions(server, Path(folder) / ACTIONS, size.messages)
                    run.add({Heliograph.name: took})
                if RELAY in chosen:
                    say("The relay beside the homeserver")
                    pushes = size.messages // 3
                    run.figures[RELAY] = await measure_relay(server, Path(folder) / RELAY, size.syncs, pushes)
                if ENCRYPTION in chosen:
                    say("Decryption beside vodozemac, and a large store")
                    place = Path(folder) / ENCRYPTION
                    run.add(await measure_encryption(server, arrivals, bus.address, place, size.encrypted))
        finally:
            await arrivals.stop()
    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure Heliograph beside a floor, matrix-commander, the homeserver and its push rules."
    )
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, for a first look")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the figures go")
    names = [*(contestant.name for contestant in CONTESTANTS), ACTIONS, RELAY, ENCRYPTION, RULES]
    parser.add_argument("--only", default=",".join(names), help="some of: %(default)s")
    words = parser.parse_args()
    size = _QUICK if words.quick else _WHOLE
    chosen = words.only.split(",")
    figures: dict[str, Figures] = {}
    notes: dict[str, str] = {}
    if chosen != [RULES]:
        try:
            run = asyncio.run(measure(size, chosen))
        except (HeliographError, RuntimeError) as error:
            raise SystemExit(f"benchmarks: {error} {getattr(error, 'hint', '')}".rstrip()) from error
        figures, notes = run.figures, run.notes
    if RULES in chosen:
        say("Push rules beside Synapse's evaluator")
        for name, values in measure_rules(is_quick=words.quick).items():
            figures.setdefault(name, {}).update(values)
    print("\n" + write_table(figures, notes))
    whole = {
        "machine": {"python": platform.python_version(), "kernel": platform.release(), "processors": os.cpu_count()},
        "size": {name: getattr(size, name) for name in Size.__slots__},
        "figures": figures,
        "aims": ratios(figures),
        "not_measured": notes,
        "definitions": DEFINITIONS,
    }
    words.json.write_text(json.dumps(whole, indent=2) + "\n")
    print(f"\nWritten to {words.json}")


if __name__ == "__main__":
    main()
