"""Follows transactions on the queue of pushes: outcomes are counted, losses logged, changed queues looked at."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

from heliograph.relay.clock import Clock
from heliograph.relay.model.pushes import QueueChange, WaitingCount, Why
from heliograph.relay.ports import PushStore
from heliograph.relay.queue.schedule import QueueSchedule
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOST = {
    Why.EXPIRED: "nobody took them for 24 hours",
    Why.OVERFLOW: "too many were waiting",
}


class QueueCommits:
    """Commits changes of the queue. Every change is on disk when its call returns, or raises StorageError."""

    def __init__(self, store: PushStore, schedule: QueueSchedule, clock: Clock) -> None:
        self._store = store
        self._schedule = schedule
        self._clock = clock
        self._pending: set[asyncio.Future[Any]] = set()
        self.outcomes: Counter[str] = Counter()
        """Pushes since the start, by `Why` they were not sent, and `SENT`."""
        self.rejected: set[str] = set()
        """Hidden pushkeys that their gateways rejected."""
        self.wake = asyncio.Event()
        """Set whenever there is something new to look at."""

    async def load(self) -> None:
        """Schedules the pushes that were left when the relay last ended."""
        self.rejected = await self._store.rejected()
        await self.look_at_all()

    async def look_at_all(self) -> None:
        """Schedules every queue anew: after a start, or after the clock was set back."""
        due = await self._store.waiting_queues(self._clock.now_ms())
        for key, due_ms in due.items():
            self._schedule.ask(key, due_ms)

    async def count(self) -> WaitingCount:
        """How many pushes wait now."""
        return await self._store.count(self._clock.now_ms())

    async def follow(self, transaction: Coroutine[Any, Any, QueueChange[T]]) -> T:
        """Commits one change of the store.

        Its consequences follow even if the caller, who may be a request, is gone by then: the transaction is not undone
        by that, and its push must go out. Test: test_a_homeserver_that_hangs_up_takes_nothing_back.
        """
        commit = start(self._follow(transaction), name="commit")
        self._pending.add(commit)
        commit.add_done_callback(self._note_committed)
        return await asyncio.shield(commit)

    async def _follow(self, transaction: Coroutine[Any, Any, QueueChange[T]]) -> T:
        # Nothing is counted, logged or scheduled before it is committed.
        committed = await transaction
        changes = committed.changes
        self.outcomes.update({str(why): number for why, number in changes.outcomes.items()})
        self.rejected |= changes.rejected
        for (key, why), number in changes.lost.items():
            fields = {"pusher": label(key), "outcome": str(why), "pushes": number}
            log.warning("Pushes of pusher %s are given up (%d): %s", label(key), number, _LOST[why], extra=fields)
        for key, due_ms in changes.due.items():
            self._schedule.ask(key, due_ms)
            self.wake.set()
        return committed.result

    def _note_committed(self, commit: asyncio.Future[Any]) -> None:
        self._pending.discard(commit)
        if not commit.cancelled():
            # Told to the caller, if there still is one.
            commit.exception()


def label(hidden_pushkey: str) -> str:
    """The name of a pusher in logs, since its pushkey lets anyone push.

    Test: test_what_identifies_a_pusher_is_in_no_log.
    """
    return hashlib.sha256(hidden_pushkey.encode()).hexdigest()[:8]
