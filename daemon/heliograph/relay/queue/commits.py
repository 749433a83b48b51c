"""Transactions on the queue of pushes, and what follows from each: it is counted, told, and its queues looked at."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from heliograph.errors import StorageError
from heliograph.relay.clock import Clock
from heliograph.relay.model.pushes import Changes, Why
from heliograph.relay.queue import table
from heliograph.relay.queue.schedule import Schedule
from heliograph.system.sqlite import Database
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOST = {
    Why.EXPIRED: "nobody took them for 24 hours",
    Why.OVERFLOW: "too many were waiting",
    Why.REFUSED: "their gateway refused them again and again",
}


class Commits:
    """Every change is on disk when its call returns. Each raises StorageError if that fails."""

    def __init__(self, database: Database, schedule: Schedule, clock: Clock) -> None:
        self._database = database
        self._schedule = schedule
        self._clock = clock
        self._pending: set[asyncio.Future[Any]] = set()
        self.outcomes: Counter[str] = Counter()
        """Pushes by what became of them since the start."""
        self.rejected: set[str] = set()
        """Hidden pushkeys that their gateways rejected."""
        self.wake = asyncio.Event()
        """Set whenever there is something new to look at."""

    async def load(self) -> None:
        """What was left when the relay last ended."""
        self.rejected = await self._database.read(table.rejected)
        await self.look_at_all()

    async def look_at_all(self) -> None:
        """What waits since another life, or by another clock."""
        due = await self._database.transaction(partial(table.waiting_queues, now_ms=self._clock.now_ms()))
        for key, due_ms in due.items():
            self._schedule.ask(key, due_ms)

    async def prune(self) -> None:
        """Raises nothing."""
        try:
            await self._database.transaction(partial(table.prune, now_ms=self._clock.now_ms()))
        except StorageError as error:
            log.warning("Old pushes could not be forgotten: %s", error)

    async def count(self) -> dict[str, int]:
        """What waits now (`queue.count`)."""
        return await self._database.read(partial(table.count, now_ms=self._clock.now_ms()))

    async def apply(self, work: Callable[..., None], *arguments: object) -> None:
        """A function over the connection, these arguments and `Changes`."""
        await self.change(partial(_apply, work=work, arguments=arguments))

    async def change(self, work: Callable[[sqlite3.Connection, Changes], T]) -> T:
        """One transaction. What follows from it follows even if the caller, who may be a request, is gone by then: the
        transaction is not undone by that."""
        commit = start(self._commit(work), name="commit")
        self._pending.add(commit)
        commit.add_done_callback(self._note_committed)
        return await asyncio.shield(commit)

    async def _commit(self, work: Callable[[sqlite3.Connection, Changes], T]) -> T:
        changes = Changes()
        result = await self._database.transaction(partial(_within, work, changes, self._clock.now_ms()))
        self.outcomes.update({str(why): number for why, number in changes.outcomes.items()})
        self.rejected |= changes.rejected
        for (key, why), number in changes.lost.items():
            fields = {"pusher": label(key), "outcome": str(why), "pushes": number}
            log.warning("Pushes of pusher %s are given up (%d): %s", label(key), number, _LOST[why], extra=fields)
        for key, due_ms in changes.due.items():
            self._schedule.ask(key, due_ms)
            self.wake.set()
        return result

    def _note_committed(self, commit: asyncio.Future[Any]) -> None:
        self._pending.discard(commit)
        if not commit.cancelled():
            # Told to the caller, if there still is one.
            commit.exception()


def label(hidden_pushkey: str) -> str:
    """What logs call a pusher: its pushkey lets anyone push."""
    return hashlib.sha256(hidden_pushkey.encode()).hexdigest()[:8]


def _within(
    work: Callable[[sqlite3.Connection, Changes], T], changes: Changes, now_ms: int, db: sqlite3.Connection
) -> T:
    result = work(db, changes)
    table.note_due(db, now_ms, changes)
    return result


def _apply(
    db: sqlite3.Connection, changes: Changes, *, work: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    work(db, *arguments, changes)
