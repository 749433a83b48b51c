"""HTTP pushes on their way: on disk before anything is answered, in order for each pusher, until sent or cancelled.

The truth is in the database. In memory is only when which queue wants to be looked at; a queue with nothing in it costs
nothing, and a push under way is one task.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol, TypeVar

from heliograph.errors import StorageError
from heliograph.relay import cancellation, queue
from heliograph.relay.clock import Clock
from heliograph.relay.forwarding import MOST_IN_FLIGHT, MOST_PER_HOST
from heliograph.relay.hold import FIRST_DELAY_MS, Why
from heliograph.relay.notification import restore
from heliograph.relay.outcome import Deferred, Delivered, Outcome
from heliograph.relay.ports import Twins
from heliograph.relay.queue import Attempt, Changes, Push, Taken
from heliograph.relay.schedule import Schedule
from heliograph.relay.targets import host_of
from heliograph.relay.values import DirectPusher, Twin
from heliograph.sqlite import Database

log = logging.getLogger(__name__)

T = TypeVar("T")

PRUNE_EVERY_MS = 3_600_000
SET_BACK_MS = 1_000
"""A clock that goes back by more was set, and by less does no harm."""
STOPPING_S = 5.0
"""How long pushes under way may take when the relay stops; what is cut off is sent again at the next start."""


class Pushers(Twins, Protocol):
    """What the outbox asks of the registry. Answered from memory."""

    def twins_of(self, user_id: str) -> list[Twin]: ...
    def direct_of(self, user_id: str) -> list[DirectPusher]: ...


class Sender(Protocol):
    """Sends one push to a gateway (`forwarding.Forwarder`). Raises nothing."""

    async def send(self, url: str, pushkey: str, body: bytes) -> Outcome: ...


class Outbox:
    """`ports.Outbox`. What a method was told is on disk when it returns; each raises StorageError if that fails."""

    def __init__(
        self,
        database: Database,
        pushers: Pushers,
        sender: Sender,
        clock: Clock,
        *,
        most_in_flight: int = MOST_IN_FLIGHT,
        most_per_host: int = MOST_PER_HOST,
        most_waiting: int = queue.MOST_WAITING,
    ) -> None:
        self._database = database
        self._pushers = pushers
        self._sender = sender
        self._clock = clock
        self._most_waiting = most_waiting
        self._schedule = Schedule(most_in_flight, most_per_host)
        self._tasks: set[asyncio.Task[None]] = set()
        self._commits: set[asyncio.Future[Any]] = set()
        self._rejected: set[str] = set()
        self._wake = asyncio.Event()
        self._outcomes: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self._failed: BaseException | None = None

    @classmethod
    async def open(cls, database: Database, pushers: Pushers, sender: Sender, clock: Clock, **bounds: int) -> Outbox:
        """The outbox with what waited when the relay last ended. Raises StorageError."""
        outbox = cls(database, pushers, sender, clock, **bounds)
        outbox._rejected = await database.read(queue.rejected)
        await outbox._look_at_all()
        return outbox

    async def take(self, push: Push) -> Taken:
        """A push came from the homeserver. A repeated one is known by its event id."""
        if push.hidden_pushkey in self._rejected:
            return Taken.REJECTED
        twin = self._pushers.twin(push.hidden_pushkey)
        deaf = set() if twin is None else self._devices_not_waited_for(twin)
        taken = await self._change(partial(_take, push=push, deaf=deaf, most=self._most_waiting))
        self._outcomes[f"taken_{taken}"] += 1
        return taken

    def is_rejected(self, hidden_pushkey: str) -> bool:
        """Whether the real gateway rejected this pushkey, which the homeserver is to be told at its next push."""
        return hidden_pushkey in self._rejected

    async def acknowledge(self, user_id: str, device_id: str, event_ids: Collection[str]) -> None:
        """A direct device has these events: pushes for http pushers that wait for this device are dropped."""
        if not event_ids:
            return
        unconcerned = [
            twin.hidden_pushkey
            for twin in self._pushers.twins_of(user_id)
            if device_id in self._devices_not_waited_for(twin)
        ]
        await self._cancel(cancellation.acknowledge, user_id, device_id, tuple(event_ids), unconcerned, self._now())

    async def cancel_events(self, user_id: str | None, room_id: str, event_ids: Collection[str], why: str) -> None:
        """None: for every user. Only events of that room."""
        await self._cancel(cancellation.cancel_events, user_id, room_id, tuple(event_ids), why, self._now())

    async def cancel_read(self, user_id: str, room_id: str, thread_id: str | None, event_id: str) -> None:
        """The user read up to this event. `thread_id` None: unthreaded; "main"; or a thread's root."""
        await self._cancel(cancellation.cancel_read, user_id, room_id, thread_id, event_id, self._now())

    async def cancel_room(self, user_id: str, room_id: str, why: str) -> None:
        await self._cancel(cancellation.cancel_room, user_id, room_id, why)

    async def cancel_all(self, user_id: str, why: str) -> None:
        """Every push of the user that tells of an event."""
        await self._cancel(cancellation.cancel_all, user_id, why)

    async def forget(self, hidden_pushkey: str) -> None:
        """The pusher is gone: its pushes, too, and that it was rejected."""
        await self._cancel(cancellation.forget, hidden_pushkey)
        self._rejected.discard(hidden_pushkey)

    async def counts(self) -> dict[str, int]:
        """For the status line and the metrics. `waiting`, `held`, `failing_pushers` and `in_flight` are of now.

        All else counts since the start: `taken_` by Taken, by Why and `sent`, `attempts_ok`, `attempts_failed`.
        """
        now = await self._database.read(partial(queue.count, now_ms=self._now()))
        attempts = {f"attempts_{name}": number for name, number in self._attempts.items()}
        return {**now, "in_flight": len(self._tasks), **attempts, **self._outcomes}

    async def run(self) -> None:
        """Sends what is due until cancelled. Raises StateError if the database is damaged."""
        last_ms = prune_ms = self._now()
        try:
            while self._failed is None:
                if self._now() < last_ms - SET_BACK_MS:
                    prune_ms = self._now()
                    await self._look_at_all()
                last_ms = self._now()
                if last_ms >= prune_ms:
                    prune_ms = last_ms + PRUNE_EVERY_MS
                    await self._prune()
                self._wake.clear()
                self._start_due()
                next_ms = self._schedule.next_ms()
                await self._clock.wait(self._wake, prune_ms if next_ms is None else min(next_ms, prune_ms))
        finally:
            await self._stop()
        raise self._failed

    def _start_due(self) -> None:
        while (key := self._schedule.take(self._now())) is not None:
            twin = self._pushers.twin(key)
            host = host_of(twin.url) if twin is not None and twin.url is not None else ""
            if self._schedule.start(key, host):
                task = asyncio.create_task(self._work(key), name=f"push {_label(key)}")
                self._tasks.add(task)
                task.add_done_callback(self._note_done)

    async def _work(self, key: str) -> None:
        """One look at one queue."""
        due_ms: int | None = self._now() + FIRST_DELAY_MS
        try:
            due_ms = await self._send_next(key)
        except StorageError as error:
            log.warning("The queue cannot be read or written, and is tried again: %s", error)
        finally:
            self._schedule.finish(key, due_ms, self._now())
            self._wake.set()

    async def _send_next(self, key: str) -> int | None:
        twin = self._pushers.twin(key)
        if twin is None or twin.url is None:
            await self.forget(key)
            return None
        if not twin.is_enabled:
            await self._cancel(queue.settle_all, key, Why.DISABLED)
            return None
        step = await self._change(partial(_begin, key=key, now_ms=self._now()))
        if not isinstance(step, Attempt):
            return step
        body = restore(step.payload, twin, is_brief=step.is_brief)
        outcome = await self._sender.send(twin.url, twin.pushkey, body)
        self._tell(key, twin, outcome)
        return await self._note(key, step, outcome)

    async def _note(self, key: str, attempt: Attempt, outcome: Outcome) -> int | None:
        """Until it is on disk, nothing more is sent from this queue: the same push would go out again and again."""
        while True:
            try:
                return await self._change(
                    partial(_finish, key=key, attempt=attempt, outcome=outcome, now_ms=self._now())
                )
            except StorageError as error:
                log.warning("What became of a push cannot be kept yet: %s", error)
                await self._clock.wait(asyncio.Event(), self._now() + FIRST_DELAY_MS)

    async def _look_at_all(self) -> None:
        """What waits since another life, or by another clock."""
        due = await self._database.transaction(partial(queue.waiting_queues, now_ms=self._now()))
        for key, due_ms in due.items():
            self._schedule.ask(key, due_ms)

    async def _prune(self) -> None:
        try:
            await self._database.transaction(partial(queue.prune, now_ms=self._now()))
        except StorageError as error:
            log.warning("Old pushes could not be forgotten: %s", error)

    async def _cancel(self, work: Callable[..., None], *arguments: object) -> None:
        await self._change(partial(_apply, work=work, arguments=arguments))

    async def _change(self, work: Callable[[sqlite3.Connection, Changes], T]) -> T:
        """One transaction. Afterwards its outcomes are counted and its queues looked at, even if the caller, who may be
        a request, is gone by then: the transaction is not undone by that."""
        commit = asyncio.ensure_future(self._commit(work))
        self._commits.add(commit)
        commit.add_done_callback(self._note_committed)
        return await asyncio.shield(commit)

    async def _commit(self, work: Callable[[sqlite3.Connection, Changes], T]) -> T:
        changes = Changes()
        result = await self._database.transaction(partial(_within, work, changes, self._now()))
        for why, number in changes.outcomes.items():
            self._outcomes[why] += number
        self._rejected |= changes.rejected
        for key, due_ms in changes.due.items():
            self._schedule.ask(key, due_ms)
            self._wake.set()
        return result

    def _devices_not_waited_for(self, twin: Twin) -> set[str]:
        """Devices whose acknowledgements do not matter to this http pusher."""
        direct = self._pushers.direct_of(twin.user_id)
        waited = {pusher.device_id for pusher in direct if pusher.is_waited_for_by(twin.app_id, twin.pushkey)}
        return {pusher.device_id for pusher in direct} - waited

    def _tell(self, key: str, twin: Twin, outcome: Outcome) -> None:
        self._attempts["ok" if isinstance(outcome, Delivered) else "failed"] += 1
        if isinstance(outcome, Delivered) and not outcome.is_rejected:
            return
        host, pusher = host_of(twin.url or ""), _label(key)
        if isinstance(outcome, Delivered):
            log.info("The gateway %s rejected the pushkey of pusher %s", host, pusher)
        elif isinstance(outcome, Deferred):
            log.info("The gateway %s did not take a push of pusher %s: %s", host, pusher, outcome.why)
        else:
            log.warning("The gateway %s refused a push of pusher %s: %s", host, pusher, outcome.why)

    def _note_committed(self, commit: asyncio.Future[Any]) -> None:
        self._commits.discard(commit)
        if not commit.cancelled():
            # Told to the caller, if there still is one.
            commit.exception()

    def _note_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = self._failed or error
            self._wake.set()

    async def _stop(self) -> None:
        tasks = set(self._tasks)
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=STOPPING_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _now(self) -> int:
        return self._clock.now_ms()


def _within(
    work: Callable[[sqlite3.Connection, Changes], T], changes: Changes, now_ms: int, db: sqlite3.Connection
) -> T:
    result = work(db, changes)
    queue.note_due(db, now_ms, changes)
    return result


def _apply(
    db: sqlite3.Connection, changes: Changes, *, work: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    work(db, *arguments, changes)


def _take(db: sqlite3.Connection, changes: Changes, *, push: Push, deaf: Collection[str], most: int) -> Taken:
    if not queue.insert(db, push, changes):
        return Taken.REPEATED
    if cancellation.settle_late(db, push, deaf, changes):
        return Taken.SETTLED
    queue.shorten(db, push.hidden_pushkey, most, changes)
    return Taken.QUEUED


def _begin(db: sqlite3.Connection, changes: Changes, *, key: str, now_ms: int) -> Attempt | int | None:
    return queue.begin(db, key, now_ms, changes)


def _finish(
    db: sqlite3.Connection, changes: Changes, *, key: str, attempt: Attempt, outcome: Outcome, now_ms: int
) -> int | None:
    return queue.finish(db, key, attempt, outcome, now_ms, changes)


def _label(hidden_pushkey: str) -> str:
    """What logs call a pusher: its pushkey lets anyone push."""
    return hashlib.sha256(hidden_pushkey.encode()).hexdigest()[:8]
