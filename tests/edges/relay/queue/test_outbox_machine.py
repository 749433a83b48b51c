"""Whatever comes in whatever order, whenever the relay is killed: each push is sent, or cancelled with a reason.

The model knows nothing of files and tasks: it holds each pusher's pushes in a list, and what was done about each.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edges.relay.stage import BOB, HOUR, ME, OutboxStage, Request, make_direct, make_twin
from heliograph.core.reading import Mark
from heliograph.relay.model.hold import ASIDE_AFTER, LIFETIME_MS, SOMETHING, clears, retry_delay_ms
from heliograph.relay.model.outcome import Deferred, Delivered, Outcome, PushRefused
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import Accepted, Push, Why
from support.log_guard import ExpectLog

T = TypeVar("T")

PHONE, TABLET, BOBS = make_twin("phone"), make_twin("tablet"), make_twin("bobs", BOB)
TWINS = [PHONE, TABLET, BOBS]
NAMES = [twin.pushkey for twin in TWINS]
DEVICES = [make_direct("DESK"), make_direct("LAPTOP", fallback=frozenset({("app", "tablet")}))]
EVENTS = [f"$event{serial}" for serial in range(8)]
ROOMS = ["!one:x", "!two:x"]
THREADS = [None, "main", "$root"]
MEMORY_MS = 46 * HOUR
"""No run takes longer, since the outbox forgets afterwards what became of a push."""

names = st.sampled_from(NAMES)
users = st.sampled_from([ME, BOB])
some_events = st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3, unique=True)
outcomes = st.sampled_from(
    [
        Delivered(),
        Delivered(),
        Delivered(),
        Delivered(is_rejected=True),
        Deferred("HTTP 502"),
        Deferred("HTTP 429", after_s=30),
        PushRefused("HTTP 400"),
        PushRefused("HTTP 413", is_too_large=True),
    ]
)


@dataclass(eq=False)
class Item:
    """A push in the model."""

    push: Push
    outcome: str | None = None
    attempts: int = 0
    refusals: int = 0
    is_brief: bool = False
    due_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self.due_ms = self.push.due_ms

    @property
    def is_aside(self) -> bool:
        return self.refusals >= ASIDE_AFTER

    @property
    def is_clearing(self) -> bool:
        return self.push.event_id is None


@dataclass
class Pusher:
    """What the model knows of one."""

    twin: Twin
    items: list[Item] = field(default_factory=list)
    shown: int | None = None
    failures: int = 0
    retry_ms: int = 0
    is_rejected: bool = False
    under_way: Item | None = None

    @property
    def waiting(self) -> Iterator[Item]:
        return (item for item in self.items if item.outcome is None)

    def head(self, now_ms: int) -> Item | None:
        aside = min((item for item in self.waiting if item.is_aside), key=lambda item: item.due_ms, default=None)
        if aside is not None and aside.due_ms <= now_ms:
            return aside
        return next((item for item in self.waiting if not item.is_aside), aside)


@dataclass
class Death:
    """How far the relay had come when it died."""

    requests: int
    under_way: set[str]
    """Pushkeys whose push was on its way. Whether it arrived, nobody knows."""


@dataclass
class Step:
    """Something that is asked of the outbox, and what it means to the model, which says what the outbox must return."""

    work: Coroutine[Any, Any, Accepted | None]
    apply: Callable[[], Accepted | None]


Happening = Callable[["OutboxMachine"], Step]


def push(name: str, event: str, hold_ms: int, thread: str | None, unread: int | None) -> Happening:
    return lambda machine: machine.push(name, event, hold_ms=hold_ms, thread_id=thread, unread=unread)


def clearing_push(name: str, unread: int) -> Happening:
    return lambda machine: machine.push(name, None, unread=unread)


def acknowledgement(device: str, events: list[str]) -> Happening:
    return lambda machine: machine.acknowledge(device, events)


def redaction(user: str | None, room: str, events: list[str]) -> Happening:
    return lambda machine: machine.redact(user, room, events)


def receipt(user: str, thread: str | None, event: str) -> Happening:
    return lambda machine: machine.read(user, thread, event)


def leaving(user: str, room: str) -> Happening:
    return lambda machine: machine.leave(user, room)


pushes = st.builds(
    push,
    names,
    st.sampled_from(EVENTS),
    st.sampled_from([0, 0, 3000]),
    st.sampled_from(THREADS),
    st.sampled_from([None, 0, 1, 2]),
)
clearing_pushes = st.builds(clearing_push, names, st.sampled_from([0, 0, 1, 2]))
cancellations = st.one_of(
    st.builds(acknowledgement, st.sampled_from(["DESK", "LAPTOP"]), some_events),
    st.builds(redaction, st.sampled_from([None, ME, BOB]), st.sampled_from(ROOMS), some_events),
    st.builds(receipt, users, st.sampled_from(THREADS), st.sampled_from(EVENTS)),
    st.builds(leaving, users, st.sampled_from(ROOMS)),
)


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.pushers = {twin.pushkey: Pusher(twin) for twin in TWINS}
        self.settled: set[tuple[str, str, str, str, str]] = set()
        """User ("" for all), kind, detail, event and room."""
        self.seen_requests = 0
        self.is_sound = False
        """Nothing was found to be wrong so far."""
        self.stage: OutboxStage
        self.first_ms = 0

    @initialize()
    def open(self) -> None:
        self.run(self._open())
        self.first_ms = self.now

    async def _open(self) -> None:
        self.stage = OutboxStage(Path(self.folder.name))
        for twin in TWINS:
            self.stage.pushers.add(twin)
        self.stage.pushers.direct = DEVICES
        self.stage.gateways.always = None
        await self.stage.open()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def now(self) -> int:
        return self.stage.clock.now_ms()

    # What comes in

    @rule(happening=pushes)
    def push_arrives(self, happening: Happening) -> None:
        self._happen(happening)

    @rule(happening=clearing_pushes)
    def clearing_push_arrives(self, happening: Happening) -> None:
        self._happen(happening)

    @rule(happenings=st.lists(st.one_of(pushes, clearing_pushes, cancellations), min_size=2, max_size=6))
    def several_come_at_once(self, happenings: list[Happening]) -> None:
        """They share a commit, and what comes of them is the same as if they had come one after the other."""
        steps = [happening(self) for happening in happenings]
        assert self.do(self.stage.commit_together([step.work for step in steps])) == [step.apply() for step in steps]
        self._catch_up()

    @rule(coming=st.lists(st.tuples(names, st.sampled_from(EVENTS)), min_size=1, max_size=4), steps=st.integers(0, 12))
    def the_relay_dies_while_it_takes_pushes(self, coming: list[tuple[str, str]], steps: int) -> None:
        """The homeserver had no answer, so it pushes again."""
        pushes = [self._push(name, event, unread=1) for name, event in dict.fromkeys(coming)]
        before = self._kept()
        death = self.run(self._die_while_taking(pushes, steps))
        kept = self._kept() - before
        for push in pushes:
            if (push.hidden_pushkey, push.event_id) in kept:
                self._take(push)
        self._catch_up(death)
        for push in pushes:
            was_kept = (push.hidden_pushkey, push.event_id) in kept
            again = self.do(self.stage.outbox.take(push))
            assert again is (Accepted.REPEATED if was_kept else self._take(push))
            self._catch_up()

    async def _die_while_taking(self, pushes: list[Push], steps: int) -> Death:
        tasks = {asyncio.create_task(self.stage.outbox.take(push)) for push in pushes}
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return await self._restart()

    # What takes it back

    @rule(happening=cancellations)
    def pushes_are_taken_back(self, happening: Happening) -> None:
        self._happen(happening)

    def push(self, name: str, event: str | None, **options: Any) -> Step:
        push = self._push(name, event, **options)
        return Step(self.stage.outbox.take(push), lambda: self._take(push))

    def acknowledge(self, device: str, events: list[str]) -> Step:
        return Step(self.stage.outbox.acknowledge(ME, device, events), lambda: self._acknowledge(device, events))

    def redact(self, user: str | None, room: str, events: list[str]) -> Step:
        work = self.stage.outbox.cancel_events(user, room, events, Why.REDACTED)
        return Step(work, lambda: self._redact(user, room, events))

    def read(self, user: str, thread: str | None, event: str) -> Step:
        work = self.stage.outbox.cancel_read(user, _room(event), Mark(event, thread))

        def apply() -> None:
            self.settled.add((user, "read", thread or "", event, _room(event)))
            self._read(user, thread or "", event)

        return Step(work, apply)

    def leave(self, user: str, room: str) -> Step:
        return Step(self.stage.outbox.cancel_room(user, room, Why.LEFT), lambda: self._leave(user, room))

    @rule(name=names)
    def pusher_is_removed(self, name: str) -> None:
        pusher = self.pushers[name]
        self.do(self.stage.outbox.forget(pusher.twin.hidden_pushkey))
        self.pushers[name] = Pusher(pusher.twin, under_way=pusher.under_way)
        self._catch_up()

    # What happens by itself

    @precondition(lambda self: self.stage.gateways.waiting)
    @rule(which=st.integers(0, 2), outcome=outcomes)
    def gateway_answers(self, which: int, outcome: Outcome) -> None:
        waiting = self.stage.gateways.waiting
        request = waiting[which % len(waiting)]
        self._answered(self.pushers[request.pushkey], outcome)
        self.run(self.stage.answer(request, outcome))
        self._catch_up()

    @rule(ms=st.sampled_from([10, 500, 1000, 3000, 60_000, HOUR, 23 * HOUR]))
    def time_passes(self, ms: int) -> None:
        if self.now + ms - self.first_ms < MEMORY_MS:
            self.run(self.stage.pass_ms(ms))
            self._catch_up()

    @rule()
    def the_relay_dies(self) -> None:
        self._catch_up(self.run(self._restart()))

    async def _restart(self) -> Death:
        gateways = self.stage.gateways
        begun, waiting = len(gateways.requests), {request.pushkey for request in gateways.waiting}
        await self.stage.kill()
        # The last turn of the event loop may have begun one more for each pusher, which dies with the others.
        death = Death(len(gateways.requests), waiting | {request.pushkey for request in gateways.requests[begun:]})
        await self.stage.open()
        return death

    @invariant()
    def the_file_tells_what_the_model_tells(self) -> None:
        for pusher in self.pushers.values():
            on_disk = self._on_disk(pusher.twin)
            expected = [(item.push.event_id, item.outcome) for item in pusher.items]
            assert on_disk == expected, pusher.twin.pushkey
        self.is_sound = True

    def teardown(self) -> None:
        try:
            if self.is_sound:
                self._let_everything_out()
        finally:
            if hasattr(self, "stage"):
                self.run(self.stage.kill())
            self.runner.close()
            self.folder.cleanup()

    def _let_everything_out(self) -> None:
        """With gateways in order, what waits is sent within an hour, and nothing is left."""
        self.stage.gateways.always = Delivered()
        while self.stage.gateways.waiting:
            request = self.stage.gateways.waiting[0]
            self._answered(self.pushers[request.pushkey], Delivered())
            self.run(self.stage.answer(request, Delivered()))
        self.run(self.stage.pass_ms(HOUR))
        for pusher in self.pushers.values():
            outcomes_on_disk = [outcome for _, outcome in self._on_disk(pusher.twin)]
            assert None not in outcomes_on_disk
            for item, outcome in zip(pusher.items, outcomes_on_disk, strict=True):
                assert item.outcome in (None, outcome)
                assert outcome in {"sent", *Why}

    # The model

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Does it, and waits until all that follows from it has happened."""
        self.is_sound = False

        async def rest() -> T:
            result = await work
            await self.stage.rest()
            return result

        return self.run(rest())

    def _happen(self, happening: Happening) -> None:
        step = happening(self)
        assert self.do(step.work) is step.apply()
        self._catch_up()

    def _kept(self) -> set[tuple[str, str | None]]:
        twins = [pusher.twin for pusher in self.pushers.values()]
        return {(twin.hidden_pushkey, event_id) for twin in twins for event_id, _ in self._on_disk(twin)}

    def _push(self, name: str, event: str | None, **options: Any) -> Push:
        if event is not None:
            options["room_id"] = _room(event)
        return self.stage.push(self.pushers[name].twin, event, **options)

    def _of(self, user: str | None, condition: Callable[[Push], bool]) -> list[Item]:
        """Waiting pushes of events."""
        return [
            item
            for pusher in self.pushers.values()
            if user in (None, pusher.twin.user_id)
            for item in pusher.waiting
            if not item.is_clearing and condition(item.push)
        ]

    def _is_unconcerned(self, device: str, hidden_pushkey: str) -> bool:
        return device == "LAPTOP" and hidden_pushkey != TABLET.hidden_pushkey

    def _take(self, push: Push) -> Accepted:
        pusher = next(pusher for pusher in self.pushers.values() if pusher.twin.hidden_pushkey == push.hidden_pushkey)
        if pusher.is_rejected:
            return Accepted.REJECTED
        if push.event_id is None:
            return self._take_clearing(pusher, push)
        if any(item.push.event_id == push.event_id for item in pusher.items):
            return Accepted.REPEATED
        item = Item(push)
        pusher.items.append(item)
        return Accepted.SETTLED if self._settle_late(item) else Accepted.QUEUED

    def _acknowledge(self, device: str, events: list[str]) -> None:
        for event in events:
            self.settled.add((ME, "ack", device, event, ""))
            for item in self._of(ME, lambda push, event=event: push.event_id == event):  # type: ignore[misc]
                if not self._is_unconcerned(device, item.push.hidden_pushkey):
                    item.outcome = Why.ACKNOWLEDGED

    def _redact(self, user: str | None, room: str, events: list[str]) -> None:
        for event in events:
            self.settled.add((user or "", "event", Why.REDACTED, event, room))
        for item in self._of(user, lambda push: push.event_id in events and push.room_id == room):
            item.outcome = Why.REDACTED

    def _leave(self, user: str, room: str) -> None:
        for item in self._of(user, lambda push: push.room_id == room):
            item.outcome = Why.LEFT

    def _take_clearing(self, pusher: Pusher, push: Push) -> Accepted:
        if push.unread == 0:
            for item in self._of(push.user_id, lambda _: True):
                item.outcome = Why.UNREAD_ZERO
        for item in pusher.waiting:
            if item.is_clearing:
                item.outcome = Why.SUPERSEDED
        pusher.items.append(Item(push))
        return Accepted.QUEUED

    def _settle_late(self, item: Item) -> bool:
        push, is_settled = item.push, False
        kinds = {"ack": Why.ACKNOWLEDGED, "event": Why.REDACTED, "read": "read_up_to"}
        known = [row for row in self.settled if row[3] == push.event_id and row[0] in ("", push.user_id)]
        for _, kind, detail, event, room in sorted(known, key=lambda row: (row[0], kinds[row[1]], row[2])):
            if kind == "ack":
                if self._is_unconcerned(detail, push.hidden_pushkey):
                    continue
                item.outcome = item.outcome or Why.ACKNOWLEDGED
            elif room != push.room_id:
                continue
            elif kind == "event":
                item.outcome = item.outcome or Why.REDACTED
            else:
                self._read(push.user_id, detail, event)
            is_settled = True
        return is_settled

    def _read(self, user: str, thread: str, event: str) -> None:
        for pusher in self.pushers.values():
            events = [item.push.event_id for item in pusher.items]
            if pusher.twin.user_id != user or event not in events:
                continue
            for item in pusher.items[: events.index(event) + 1]:
                is_itself = item.push.event_id == event and item.push.thread_id is None
                is_covered = thread in ("", item.push.thread_id) or is_itself
                is_of_room = not item.is_clearing and item.push.room_id == _room(event)
                if item.outcome is None and is_of_room and is_covered:
                    item.outcome = Why.READ

    def _answered(self, pusher: Pusher, outcome: Outcome) -> None:
        item, pusher.under_way = pusher.under_way, None
        if item is None or not pusher.items:
            return
        is_known = item in pusher.items
        if isinstance(outcome, Delivered):
            pusher.failures, pusher.retry_ms = 0, 0
            pusher.shown = SOMETHING if item.push.unread is None else item.push.unread
            if outcome.is_rejected:
                for other in pusher.waiting:
                    other.outcome = Why.REJECTED
            elif is_known and item.outcome is None:
                item.outcome = "sent"
            pusher.is_rejected = outcome.is_rejected
        elif isinstance(outcome, Deferred):
            pusher.failures += 1
            pusher.retry_ms = self.now + retry_delay_ms(pusher.failures, outcome.after_s)
        elif outcome.is_too_large and not item.is_clearing and not item.is_brief:
            item.is_brief = True
        else:
            pusher.failures += 1
            pusher.retry_ms = self.now + retry_delay_ms(pusher.failures, outcome.after_s)
            item.refusals += 1
            if item.refusals >= ASIDE_AFTER and is_known:
                item.due_ms = self.now + retry_delay_ms(item.refusals, outcome.after_s)
                pusher.retry_ms = 0

    def _catch_up(self, death: Death | None = None) -> None:
        """What the outbox does by itself must be what it had to do by now."""
        self.is_sound = False
        if death is not None:
            self._note_attempts(death.requests)
            for pushkey in death.under_way:
                self.pushers[pushkey].under_way = None
        self._note_attempts(len(self.stage.gateways.requests))
        for pusher in self.pushers.values():
            self._drop_what_is_over(pusher)
            head = pusher.head(self.now)
            if pusher.under_way is None and head is not None:
                assert max(head.due_ms, pusher.retry_ms) > self.now, "a push is late"

    def _note_attempts(self, until: int) -> None:
        for request in self.stage.gateways.requests[self.seen_requests : until]:
            self._note_attempt(request)
        self.seen_requests = until

    def _note_attempt(self, request: Request) -> None:
        pusher = self.pushers[request.pushkey]
        assert pusher.under_way is None, "two pushes of one pusher are under way"
        self._drop_what_is_over(pusher)
        head = pusher.head(request.at_ms)
        assert head is not None, "sent though nothing waits"
        assert request.event_id == head.push.event_id, "out of order"
        assert request.at_ms >= max(head.due_ms, pusher.retry_ms), "too early"
        assert request.at_ms - head.push.received_ms < LIFETIME_MS, "too late"
        pusher.under_way, pusher.shown = head, SOMETHING
        head.attempts += 1

    def _drop_what_is_over(self, pusher: Pusher) -> None:
        """What the outbox drops when its turn comes, which is when the queue is next looked at."""
        on_disk = [outcome for _, outcome in self._on_disk(pusher.twin)]
        for item, outcome in zip(pusher.items, on_disk, strict=True):
            if item.outcome is not None:
                continue
            if pusher.under_way is not None:
                return
            is_old = self.now - item.push.received_ms >= LIFETIME_MS
            is_needless = item.is_clearing and not clears(pusher.shown, item.push.unread or 0)
            if (outcome == Why.EXPIRED and is_old) or (outcome == Why.NOTHING_TO_CLEAR and is_needless):
                item.outcome = outcome
            else:
                return

    def _on_disk(self, twin: Twin) -> list[tuple[str | None, str | None]]:
        with closing(sqlite3.connect(f"file:{self.stage.path}?mode=ro", uri=True)) as db:
            return db.execute(
                "SELECT event_id, outcome FROM pushes WHERE hidden_pushkey = ? ORDER BY position",
                (twin.hidden_pushkey,),
            ).fetchall()


def _room(event: str) -> str:
    return ROOMS[EVENTS.index(event) % 2]


OutboxMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutbox = pytest.mark.timeout(600)(OutboxMachine.TestCase)


@pytest.fixture(autouse=True)
def gateways_that_refuse(expect_log: ExpectLog) -> None:
    expect_log(r"commits warning: Pushes of pusher \S+ are given up \(\d+\): [^\n]*$", times=(0, None))
