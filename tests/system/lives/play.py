"""Plays a life, drawn from a seed, step by step, and looks after each step whether all is as Synapse says.

Events, receipts and membership are compared with the /sync of another device, what rings with GET /notifications, and
what the homeserver cannot read with the verdict of Synapse's own evaluator. `shorten.py` shortens a life that fails, by
playing parts of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.errors import HeliographError
from support.buses import PrivateBus
from support.waiting import until
from system.lives import calls, elsewhere, hands, membership, programs, talk
from system.lives.desk import PROFILES, Desk, Settings, set_up
from system.lives.expectation import expect, may_ring, must_ring
from system.lives.nursery import ForkedDaemon, Nursery
from system.lives.oracle import SUMMARY_KEY, Delivery, Evidence, Expected, Fault, Violation, judge
from system.lives.people import People, User
from system.lives.step import Kind, Life, Step
from system.lives.world import Act, World
from system.relay_process import RelayProcess

ACTS: Mapping[Kind, Act] = {
    **talk.ACTS,
    **calls.ACTS,
    **membership.ACTS,
    **elsewhere.ACTS,
    **hands.ACTS,
    **programs.ACTS,
}
SETTLE_S = 8.0
"""In which all is as it should be after a step. It mostly takes a tenth of a second."""
SEEN_S = 30.0
"""In which the daemon comes to know what happened."""
_GOOD_TIME_S = 2.0
"""The relay holds a push for three."""
_THERE = 3
_LAST_WORDS = 40
"""Lines of the daemon's log that a violation is told with."""
_BAD_LINE = re.compile(r"^(?:[-0-9]+ [:0-9]+ (?:warning|error|critical): |Traceback|.*never awaited).*$", re.MULTILINE)
OF_A_RESTART = "the connection was closed without an answer|nothing answers at 127.0.0.1|The homeserver does not answer"
"""A regular expression for what the daemon warns of when the relay or the homeserver starts anew."""


@dataclass
class Lived:
    """What came of a life."""

    violations: list[Violation] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    story: list[str] = field(default_factory=list)

    @property
    def faults(self) -> frozenset[Fault]:
        return frozenset(each.fault for each in self.violations)


@dataclass(frozen=True)
class Stage:
    """What lives share: one homeserver, one relay. `words`: in which ways the daemon is broken."""

    server: ThrowawaySynapse
    relay: RelayProcess
    folder: Path
    nursery: Nursery
    words: Sequence[str] = ()


async def play(stage: Stage, life: Life) -> Lived:
    """The life up to its first violation."""
    folder = stage.folder / f"life-{secrets.token_hex(4)}"
    with PrivateBus() as bus, pytest.MonkeyPatch.context() as patch:
        _move_in(folder, bus, patch)
        return await _Player(stage, life, folder).play(bus.address)


def _move_in(folder: Path, bus: PrivateBus, patch: pytest.MonkeyPatch) -> None:
    """A home folder and a session of its own."""
    homes = {"HOME": "home", "XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache"}
    for name, place in {**homes, "XDG_DATA_HOME": "data", "XDG_RUNTIME_DIR": "run"}.items():
        (folder / place).mkdir(parents=True, mode=0o700)
        patch.setenv(name, str(folder / place))
    programs.write_config(Settings())
    patch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
    patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)


class _Player:
    def __init__(self, stage: Stage, life: Life, folder: Path) -> None:
        self._stage = stage
        self._life = life
        self._folder = folder
        self._lived = Lived()
        self._gone: dict[str, set[str]] = {}
        self._told = 0
        self._present = 0
        """For how many steps the daemon has run and the session been unlocked."""
        self._unquoted: set[str] = set()
        self._popped_up: frozenset[str] = frozenset()
        self._was_quiet = False

    async def play(self, bus_address: str) -> Lived:
        life, stage = self._life, self._stage
        began = time.monotonic()
        relay = stage.relay if life.mode.is_direct else None
        people = People(stage.server, secrets.token_hex(4), is_encrypted=life.mode.is_encrypted)
        profile = PROFILES[life.seed % len(PROFILES)]
        try:
            daemon = ForkedDaemon(stage.nursery, stage.words)
            async with set_up(bus_address, profile, relay, daemon) as desk:
                url = stage.server.base_url if relay is None else relay.url
                await people.gather(url, None if relay is None else desk.phone.url)
                world = World(life.mode, people, desk, url, self._folder)
                await self._live(world)
                self._look_at_log(desk)
                if desk.has_relay_left:
                    # The next life has it again.
                    await stage.relay.say_leaving(is_leaving=False)
        finally:
            await people.part()
        self._lived.seconds = time.monotonic() - began
        return self._lived

    async def _live(self, world: World) -> None:
        await self._live_steps(world)
        if not self._lived.violations:
            self._lived.violations = [Violation(Fault.COMMAND, why=why) async for why in self._compare_commands(world)]

    async def _compare_commands(self, world: World) -> AsyncIterator[str]:
        """What the commands print is what the daemon tells."""
        printed = [
            await asyncio.to_thread(self._stage.nursery.run, words.split(), self._folder / "printed")
            for words in ("inbox --json", "status --format waybar")
        ]
        inbox, bar = map(json.loads, printed)
        unread, _ = await world.desk.bar()
        told = {
            (room["account"], room["room_id"]): (room["unread"], [each["event_id"] for each in room["messages"]])
            for room in inbox["rooms"]
        }
        known = {
            (account, room): entry
            for account, rooms in (await world.desk.inbox()).items()
            for room, entry in rooms.items()
        }
        if told != known or inbox["unread"] != unread:
            yield f"heliograph inbox: {inbox['unread']}, {told} instead of {unread}, {known}"
        if bar["text"].lstrip("!z") != str(unread or ""):
            yield f"heliograph status: {bar} instead of {unread}"

    async def _live_steps(self, world: World) -> None:
        for place, step in (*zip(self._life.kept, self._life.steps, strict=True), *_ending()):
            self._lived.steps += 1
            began, look = time.monotonic(), [user.truth.looks for user in world.people.users]
            self._was_quiet = world.desk.is_quiet
            try:
                await ACTS[step.kind](world, step)
                violations = await self._settle(world)
                self._note_had(world, look, time.monotonic() - began)
            except (AssertionError, HeliographError, TimeoutError) as error:
                violations = [Violation(Fault.PROGRAM, why=f"{type(error).__name__}: {str(error)[:1500]}")]
            self._tell(place, step, time.monotonic() - began, violations)
            if violations:
                self._lived.violations = violations
                self._lived.story += ["The daemon's last words:", *world.desk.log.splitlines()[-_LAST_WORDS:]]
                return

    def _tell(self, place: int, step: Step, seconds: float, violations: Sequence[Violation]) -> None:
        self._lived.story.append(f"{place:4}  {step}: {seconds:.2f} s")
        self._lived.story += [f"      {each}" for each in violations]

    def _note_had(self, world: World, looks: Sequence[int], seconds: float) -> None:
        """What the desktop had in good time is not the phone's, if the user has been there for a while."""
        is_there = world.desk.is_running and not world.desk.is_locked and not world.desk.is_quiet_here_alone
        # Without a relay, nobody keeps the phone from ringing as well.
        is_there = is_there and not world.desk.has_relay_left
        self._present = self._present + 1 if is_there else 0
        if self._present < _THERE or seconds > _GOOD_TIME_S or not world.mode.is_direct:
            return
        for user, look in zip(world.people.users, looks, strict=False):
            for room in user.truth.rooms.values():
                new = [event for event in room.events.values() if event.look > look and event.listed]
                world.had.update(event.event_id for event in new if must_ring(user, room, event))

    async def _settle(self, world: World) -> list[Violation]:
        """What is wrong once the daemon knows all and has done all, or after SETTLE_S."""
        people, desk = world.people, world.desk
        for user in people.users:
            await user.truth.look()
        if not desk.is_running:
            return []
        sentinel = await people.herald.send_text(people.control, "so far")
        await until(
            lambda: all(desk.has_judged(user, sentinel) for user in people.users), "the daemon to know all", SEEN_S
        )
        began = time.monotonic()
        while True:
            evidence = await self._look(world)
            violations = judge(evidence)
            if not violations or time.monotonic() > began + SETTLE_S:
                break
            await asyncio.sleep(0.05)
            for user in people.users:
                await user.truth.look()
        if not violations:
            desk.kills_in_talk = 0
        rows = [each for listed in evidence.deliveries.values() for each in listed]
        self._popped_up = frozenset(each.event_id for each in rows if each.state != "pending")
        self._unquoted |= _find_unquoted(rows, evidence.expected, is_locked=desk.is_locked)
        world.unrung.clear()
        self._told = len(evidence.tellings)
        self._gone = {
            user.user_id: {each.event_id for each in evidence.expected if each.account == user.user_id and each.gone}
            for user in people.users
        }
        return violations

    async def _look(self, world: World) -> Evidence:
        desk, users = world.desk, world.people.users
        inbox, (unread, highlights) = await desk.inbox(), await desk.bar()
        rows = {user.user_id: desk.deliveries(user) for user in users if user.account is not None}
        expected: list[Expected] = []
        for user in users:
            gone = self._gone.get(user.user_id, set())
            expected += expect(user, world.people.said, rows.get(user.user_id, ()), gone)
        return Evidence(
            expected=expected,
            deliveries=rows,
            inbox=inbox,
            bar=unread,
            highlights=highlights,
            popups=desk.popups(users),
            tellings=desk.tellings(),
            told_before=self._told,
            is_quiet=desk.is_quiet,
            was_quiet=self._was_quiet,
            loud_rooms=desk.settings.loud_rooms,
            popped_up=self._popped_up,
            ringing=_find_ringing(users),
            is_locked=desk.is_locked,
            kills=desk.kills_in_talk,
            orphans=desk.orphans(),
            summaries=tuple(world.summaries),
            rung=dict(desk.phone.rung),
            had=frozenset(world.had),
            unrung=tuple(world.unrung),
            senders=await desk.senders(),
            notices=tuple(world.notices),
            unquoted=frozenset(self._unquoted),
        )

    def _look_at_log(self, desk: Desk) -> None:
        """Warnings and errors that nothing in a life accounts for."""
        for line in dict.fromkeys(_BAD_LINE.findall(desk.log)):
            has_restart = desk.has_relay_restarted or desk.has_server_restarted
            if not (has_restart and re.search(OF_A_RESTART, line)):
                self._lived.violations.append(Violation(Fault.PROGRAM, why=f"the daemon says: {line}"))
        self._lived.violations += [Violation(Fault.PROGRAM, why=end) for end in desk.ends]


def _find_unquoted(rows: Sequence[Delivery], expected: Sequence[Expected], *, is_locked: bool) -> set[str]:
    """What is shown now and not quoted."""
    unreadable = {each.event_id for each in expected if not each.is_quoted}
    return {
        each.event_id
        for each in rows
        if each.state == "shown"
        and (is_locked or each.event_id in unreadable or (each.popup_key or "").startswith(SUMMARY_KEY))
    }


def _find_ringing(users: Sequence[User]) -> frozenset[str]:
    """Rooms in which a call may ring."""
    now_ms = time.time_ns() // 1_000_000
    return frozenset(
        room.room_id
        for user in users
        for room in user.truth.rooms.values()
        if any(may_ring(user, room, event, now_ms) for event in room.events.values())
    )


def _ending() -> Sequence[tuple[int, Step]]:
    """Every life ends with everything in order, so that what was held back is looked at, too."""
    return tuple((-1, Step(kind)) for kind in (Kind.START, Kind.UNLOCK, Kind.RESUME, Kind.NO_QUIET_HOURS))
