"""Draws from a seed what happens in a run: who does what when, and what fails meanwhile. Nothing is done here.

How the steps interleave is up to the machine, so a failure may need its seed several times to come again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Act(StrEnum):
    """What people do. `Step.pick` chooses the message or the room that it is done to."""

    SAY = "say"
    SAY_NOTICE = "say a notice"
    SAY_OURSELVES = "say it ourselves on another device"
    EDIT = "edit"
    REDACT = "redact"
    REACT = "react"
    READ = "read elsewhere"
    RENEW_KEY = "use a new room key"
    INVITE = "invite"
    ACCEPT = "accept an invite elsewhere"
    SAY_NONSENSE = "say what no client would"


class Fault(StrEnum):
    """What fails, for `Step.lasts_s`."""

    CUT = "connections are cut"
    SLOW = "answers are late"
    TRUNCATED = "answers end before their end"
    SHUFFLED = "answers come in another order"
    LIMITED = "429"
    BAD_GATEWAY = "502 and HTML"
    PORTAL = "200 and HTML"
    LOST_ANSWER = "requests arrive and their answers do not"
    HALF_OPEN = "nothing passes and nobody is told"
    SCREEN_HANGS = "the notification server answers no Notify for now"
    SCREEN_IS_DEAF = "the notification server answers nothing, and is restarted"
    SCREEN_RESTARTS = "the notification server is away, and starts anew"
    DISK_FULL = "the daemon's disk is full"
    RELAY_DISK_FULL = "the relay's disk is full"
    DISK_READ_ONLY = "the daemon is killed and finds its disk read-only"
    CLOCK_STEPS = "the clock is set"
    SLEEP = "the machine sleeps, and says so"
    SUDDEN_SLEEP = "the machine sleeps, and nobody is told"
    KILL_DAEMON = "kill -9 of the daemon"
    KILL_RELAY = "kill -9 of the relay"
    KILL_SYNAPSE = "kill -9 of Synapse"
    GATEWAY_FAILS = "the phone's gateway answers 503"


ON_WIRES = (
    *(Fault.CUT, Fault.SLOW, Fault.TRUNCATED, Fault.SHUFFLED, Fault.LIMITED, Fault.BAD_GATEWAY, Fault.PORTAL),
    *(Fault.LOST_ANSWER, Fault.HALF_OPEN),
)
_OF_THE_RELAY = (Fault.RELAY_DISK_FULL, Fault.KILL_RELAY, Fault.GATEWAY_FAILS)
_ELSEWHERE = (
    *(Fault.SCREEN_HANGS, Fault.SCREEN_IS_DEAF, Fault.SCREEN_RESTARTS, Fault.DISK_FULL, Fault.CLOCK_STEPS),
    *(Fault.SLEEP, Fault.SUDDEN_SLEEP, Fault.KILL_DAEMON, Fault.KILL_DAEMON),
)
_COSTLY = (Fault.DISK_READ_ONLY, Fault.KILL_SYNAPSE)
"""Each takes some seconds."""

_ACTS = {
    Act.SAY: 12,
    Act.SAY_NOTICE: 1,
    Act.SAY_OURSELVES: 1,
    Act.EDIT: 2,
    Act.REDACT: 2,
    Act.REACT: 1,
    Act.READ: 4,
    Act.RENEW_KEY: 1,
    Act.INVITE: 1,
    Act.ACCEPT: 1,
    Act.SAY_NONSENSE: 1,
}
INVITES = 2
"""How many rooms there are to be invited to."""
_CLOCK_STEPS_S = (-30 * 86400, -7200, -5, 5, 7200, 30 * 86400)


class Wire(StrEnum):
    """Which connection a fault is on."""

    NEAR = "between the daemon and its server"
    FAR = "between relay and Synapse"
    PUSH = "between Synapse and the relay's gateway"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens."""

    at_s: float
    what: Act | Fault
    room: int = 0
    sender: int = 0
    pick: float = 0.0
    """In [0, 1): what of all there is by then."""
    lasts_s: float = 0.0
    wire: Wire = Wire.NEAR
    clock_s: int = 0
    """By how much the clock is set, or has gone on in sleep."""

    def __str__(self) -> str:
        if isinstance(self.what, Act):
            return f"{self.at_s:6.2f} s  {self.what} (room {self.room}, sender {self.sender}, {self.pick:.2f})"
        words = [f"{self.at_s:6.2f} s  FAULT for {self.lasts_s:.2f} s: {self.what}"]
        words += [f"({self.wire})"] if self.what in ON_WIRES else []
        words += [f"({self.clock_s:+d} s)"] if self.clock_s else []
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run. `has_relay`: the daemon is in direct mode behind a relay, and a phone has an http pusher there."""

    seed: int
    is_long: bool
    has_relay: bool
    is_desktop_last: bool
    """At the end the phone must ring for what the desktop did not get, before the desktop is let back."""
    boot_s: int
    """What the daemon's monotonic clock says beyond the machine's own."""
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        what = "behind the relay" if self.has_relay else "on a stock server"
        last = ["   then  the phone rings before the desktop is let back"] if self.is_desktop_last else []
        return "\n".join([f"seed {self.seed}, {what}:", *map(str, self.steps), *last])


def draw(seed: int, *, is_long: bool = False, rooms: int = 4, senders: int = 2) -> Schedule:
    """The same for the same arguments, always. A short one takes some seconds."""
    dice = random.Random(seed)
    has_relay = seed % 2 == 1
    length_s = dice.uniform(20, 40) if is_long else dice.uniform(1.6, 2.4)
    acts = round(length_s * (3 if is_long else 8))
    steps = [*_acts(dice, acts, length_s, rooms, senders), *_faults(dice, seed, length_s, has_relay, is_long)]
    return Schedule(
        seed,
        is_long,
        has_relay,
        is_desktop_last=has_relay and dice.random() < 0.2,
        boot_s=dice.choice((0, 90_000, 40 * 86_400)),
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
    )


def _acts(dice: random.Random, count: int, length_s: float, rooms: int, senders: int) -> Iterator[Step]:
    for _ in range(count):
        (act,) = dice.choices(list(_ACTS), list(_ACTS.values()))
        at_s = dice.uniform(0, length_s)
        yield Step(at_s, act, dice.randrange(rooms), dice.randrange(senders), dice.random())


def _faults(dice: random.Random, seed: int, length_s: float, has_relay: bool, is_long: bool) -> Iterator[Step]:
    others = (*_ELSEWHERE, *(_OF_THE_RELAY if has_relay else ()))
    longest_s = 6.0 if is_long else 1.2
    for at_s in _instants(dice, round(length_s / 2.5) if is_long else dice.randint(2, 3), length_s):
        fault = dice.choice(ON_WIRES if dice.random() < 0.45 else others)
        if is_long and dice.random() < 0.1:
            fault = dice.choice(_COSTLY)
        wire = dice.choice(list(Wire)) if has_relay else Wire.NEAR
        yield Step(
            at_s,
            fault,
            lasts_s=dice.uniform(0.2, longest_s),
            pick=dice.random(),
            wire=wire,
            clock_s=_clock(dice, fault),
        )
    if not is_long and seed % 5 == 0:
        # One in a short run, and not in all of them.
        costly = _COSTLY[seed // 5 % len(_COSTLY)]
        yield Step(dice.uniform(0.3, length_s), costly, lasts_s=dice.uniform(0.2, 0.5), pick=dice.random())


def _instants(dice: random.Random, count: int, length_s: float) -> Iterable[float]:
    return (dice.uniform(0.1, length_s) for _ in range(count))


def _clock(dice: random.Random, fault: Fault) -> int:
    if fault is Fault.CLOCK_STEPS:
        return dice.choice(_CLOCK_STEPS_S)
    return dice.choice((60, 7200, 9 * 3600)) if fault in (Fault.SLEEP, Fault.SUDDEN_SLEEP) else 0
