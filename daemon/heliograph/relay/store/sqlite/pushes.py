"""The queue of pushes in relay.db, a transaction a call."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from heliograph.core.reading import Mark
from heliograph.relay.model.around import Around
from heliograph.relay.model.outcome import Outcome
from heliograph.relay.model.pushes import Accepted, Attempt, Changes, Push, QueueChange, WaitingCount, Why
from heliograph.relay.store.sqlite import cancellation, queue, waiting
from heliograph.relay.store.sqlite.group_commit import Transactions

T = TypeVar("T")
QueueWork = Callable[[sqlite3.Connection, Changes], T]


class SqlitePushStore:
    """`ports.PushStore`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def rejected(self) -> set[str]:
        return await self._transactions.read(queue.rejected)

    async def waiting_queues(self, now_ms: int) -> dict[str, int]:
        return await self._transactions.transaction(partial(queue.waiting_queues, now_ms=now_ms))

    async def count(self, now_ms: int) -> WaitingCount:
        return await self._transactions.read(partial(queue.count, now_ms=now_ms))

    async def prune(self, now_ms: int) -> bool:
        return await self._transactions.transaction(partial(queue.prune, now_ms=now_ms))

    async def take(
        self, push: Push, unconcerned_devices: Collection[str], most_waiting: int, now_ms: int
    ) -> QueueChange[Accepted]:
        def work(db: sqlite3.Connection, changes: Changes) -> Accepted:
            if not queue.insert(db, push, changes):
                return Accepted.REPEATED
            # Its event may be settled already: /sync and receipts are often faster than the push.
            if cancellation.settle_late(db, push, unconcerned_devices, changes):
                return Accepted.SETTLED
            waiting.shorten(db, push, most_waiting, changes)
            return Accepted.QUEUED

        return await self._change(work, now_ms)

    async def known(self, hidden_pushkey: str, event_ids: Collection[str]) -> set[str]:
        return await self._transactions.read(
            partial(queue.known, hidden_pushkey=hidden_pushkey, event_ids=tuple(event_ids))
        )

    async def begin(self, hidden_pushkey: str, now_ms: int) -> QueueChange[Attempt | int | None]:
        return await self._change(lambda db, changes: queue.begin(db, hidden_pushkey, now_ms, changes), now_ms)

    async def finish(
        self, hidden_pushkey: str, attempt: Attempt, outcome: Outcome, now_ms: int
    ) -> QueueChange[int | None]:
        return await self._change(
            lambda db, changes: queue.finish(db, hidden_pushkey, attempt, outcome, now_ms, changes), now_ms
        )

    async def acknowledge(
        self,
        user_id: str,
        device_id: str,
        event_ids: Collection[str],
        unconcerned_pushkeys: Collection[str],
        now_ms: int,
    ) -> QueueChange[None]:
        return await self._change(
            lambda db, changes: cancellation.acknowledge(
                db, user_id, device_id, event_ids, unconcerned_pushkeys, now_ms, changes
            ),
            now_ms,
        )

    async def cancel_events(
        self, user_id: str | None, room_id: str, event_ids: Collection[str], why: Why, now_ms: int
    ) -> QueueChange[None]:
        return await self._change(
            lambda db, changes: cancellation.cancel_events(db, user_id, room_id, event_ids, why, now_ms, changes),
            now_ms,
        )

    async def cancel_read(
        self, user_id: str, room_id: str, mark: Mark, around: Around, now_ms: int
    ) -> QueueChange[None]:
        return await self._change(
            lambda db, changes: cancellation.cancel_read(db, user_id, room_id, mark, around, now_ms, changes),
            now_ms,
        )

    async def is_unplaced(self, user_id: str, room_id: str, mark: Mark, around: Around) -> bool:
        return await self._transactions.read(
            partial(cancellation.is_unplaced, user_id=user_id, room_id=room_id, mark=mark, around=around)
        )

    async def cancel_room(self, user_id: str, room_id: str, why: Why, now_ms: int) -> QueueChange[None]:
        return await self._change(
            lambda db, changes: cancellation.cancel_room(db, user_id, room_id, why, changes), now_ms
        )

    async def cancel_all(self, user_id: str, why: Why, now_ms: int) -> QueueChange[None]:
        return await self._change(lambda db, changes: cancellation.cancel_all(db, user_id, why, changes), now_ms)

    async def has_waiting(self, hidden_pushkey: str) -> bool:
        return await self._transactions.read(partial(queue.has_waiting, hidden_pushkey=hidden_pushkey))

    async def cancel_queue(self, hidden_pushkey: str, why: Why, now_ms: int) -> QueueChange[None]:
        return await self._change(
            lambda db, changes: cancellation.cancel_queue(db, hidden_pushkey, why, changes), now_ms
        )

    async def forget(self, hidden_pushkey: str, now_ms: int) -> QueueChange[None]:
        return await self._change(lambda db, changes: cancellation.forget(db, hidden_pushkey, changes), now_ms)

    async def _change(self, work: QueueWork[T], now_ms: int) -> QueueChange[T]:
        def change(db: sqlite3.Connection) -> QueueChange[T]:
            # Made anew each time: of a transaction that is undone and run again, nothing may be counted twice.
            changes = Changes()
            result = work(db, changes)
            # Within the transaction, so that what is scheduled is what was committed.
            queue.note_due(db, now_ms, changes)
            return QueueChange(result, changes)

        return await self._transactions.transaction(change)
