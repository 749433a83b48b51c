"""Sends pushes that are due: in order for each pusher, with back-off, a bounded number at once, each a task."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Protocol

from heliograph.errors import StateError, StorageError
from heliograph.relay.clock import Clock
from heliograph.relay.model.hold import FIRST_DELAY_MS
from heliograph.relay.model.outcome import Delivered, Outcome, PushRefused
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import Attempt, Why
from heliograph.relay.ports import PusherLookup, PushStore
from heliograph.relay.queue.commits import QueueCommits, label
from heliograph.relay.queue.schedule import QueueSchedule
from heliograph.relay.queue.targets import host_of
from heliograph.relay.wire.push import restore
from heliograph.system.tasks import keep_running, start

log = logging.getLogger(__name__)

SET_BACK_MS = 1_000
"""A clock that goes back by more was set, and by less does no harm."""
FAULT_DELAY_MS = 60_000
"""After a fault of our own a queue waits for so long."""
STOPPING_S = 5.0
"""How long pushes under way may take when the relay stops, which serves requests meanwhile; what is cut off is sent
again at the next start."""


class Sender(Protocol):
    """Sends one push to a gateway (`forwarding.Forwarder`)."""

    async def send(self, url: str, pushkey: str, body: bytes) -> Outcome: ...


class Dispatch:
    """The loop that sends pushes. Everything it knows of the queues is in the database and the schedule."""

    def __init__(
        self,
        store: PushStore,
        commits: QueueCommits,
        schedule: QueueSchedule,
        pushers: PusherLookup,
        sender: Sender,
        clock: Clock,
    ) -> None:
        self._store = store
        self._commits = commits
        self._schedule = schedule
        self._pushers = pushers
        self._sender = sender
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self.attempts: Counter[str] = Counter()
        """Requests to gateways since the start: ok, failed."""

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    async def run(self) -> None:
        """Runs until cancelled. Raises StateError if the database is damaged."""
        try:
            await keep_running("pushes", self._run, ends_with=(StateError,), clock=self._now)
        finally:
            await self._stop()

    async def _run(self) -> None:
        self._failed = None
        last_ms = self._now()
        while self._failed is None:
            # A clock that was set back leaves times in the future behind, on disk and in the schedule.
            if self._now() < last_ms - SET_BACK_MS:
                await self._commits.look_at_all()
            last_ms = self._now()
            # Cleared before the schedule is looked at: what is asked for meanwhile sets it again and ends the wait.
            self._commits.wake.clear()
            self._start_due()
            await self._clock.wait(self._commits.wake, self._schedule.next_ms())
        raise self._failed

    def _start_due(self) -> None:
        while (key := self._schedule.take(self._now())) is not None:
            twin = self._pushers.twin(key)
            host = host_of(twin.url) if twin is not None and twin.url is not None else ""
            if self._schedule.start(key, host):
                task = start(self._work(key), name=f"push {label(key)}")
                self._tasks.add(task)
                task.add_done_callback(self._note_done)

    async def _work(self, key: str) -> None:
        """Looks at one queue once: sends its first push if that is due."""
        due_ms: int | None = self._now() + FIRST_DELAY_MS
        try:
            due_ms = await self._send_next(key)
        except StorageError as error:
            log.warning("The queue cannot be read or written, and is tried again: %s", error)
        except StateError:
            raise
        except Exception:
            # The queues of others go on.
            log.exception("Unexpected fault with the queue of pusher %s, which is looked at again", label(key))
            due_ms = self._now() + FAULT_DELAY_MS
        finally:
            self._schedule.finish(key, due_ms, self._now())
            self._commits.wake.set()

    async def _send_next(self, key: str) -> int | None:
        twin = self._pushers.twin(key)
        if twin is None or twin.url is None:
            await self._commits.follow(self._store.forget(key, self._now()))
            self._commits.rejected.discard(key)
            return None
        if not twin.is_enabled:
            await self._commits.follow(self._store.cancel_queue(key, Why.DISABLED, self._now()))
            return None
        step = await self._commits.follow(self._store.begin(key, self._now()))
        if not isinstance(step, Attempt):
            return step
        try:
            outcome = await self._sender.send(
                twin.url, twin.pushkey, restore(step.payload, twin, is_brief=step.is_brief)
            )
        except Exception:
            # Like a gateway's no: others go first after some tries.
            log.exception("Unexpected fault in sending a push of pusher %s", label(key))
            outcome = PushRefused("an unexpected fault of the relay's own, see the log")
        self._tell(key, twin, outcome)
        return await self._note(key, step, outcome)

    async def _note(self, key: str, attempt: Attempt, outcome: Outcome) -> int | None:
        """Keeps the outcome of an attempt, however long the disk takes.

        Until it is on disk, nothing more is sent from this queue: the same push would go out again and again.
        Test: test_a_push_whose_outcome_cannot_be_kept_is_not_sent_again_and_again.
        """
        while True:
            try:
                return await self._commits.follow(self._store.finish(key, attempt, outcome, self._now()))
            except StorageError as error:
                log.warning("What became of a push cannot be kept yet: %s", error)
                await self._clock.wait(asyncio.Event(), self._now() + FIRST_DELAY_MS)

    def _tell(self, key: str, twin: Twin, outcome: Outcome) -> None:
        self.attempts["ok" if isinstance(outcome, Delivered) else "failed"] += 1
        if isinstance(outcome, Delivered) and not outcome.is_rejected:
            return
        host, pusher = host_of(twin.url or ""), label(key)
        fields = {"gateway": host, "pusher": pusher, "user": twin.user_id}
        if isinstance(outcome, Delivered):
            log.info("The gateway %s rejected the pushkey of pusher %s", host, pusher, extra=fields)
        else:
            log.info("The gateway %s did not take a push of pusher %s: %s", host, pusher, outcome.why, extra=fields)

    def _note_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Only StateError comes so far (`_work` takes all others):
            # the database is damaged, and the relay ends with it.
            self._failed = self._failed or error
            self._commits.wake.set()

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
