"""Group commit: changes that are wanted while the disk is busy with others are committed together.

COMMIT waits for the disk, and one for each change was the largest part of what a push costs. A change is answered after
the COMMIT of its group, so what is acknowledged is on disk as before. A relay with nothing to do delays no change: the
first one is committed at once, and only those that come meanwhile wait for it, as they would for its COMMIT anyway.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from heliograph.core.value_type import value_type
from heliograph.system.sqlite import Database
from heliograph.system.tasks import start

T = TypeVar("T")

MOST_TOGETHER = 100
"""Changes of one group. Whoever comes behind it waits for all of them."""


class Transactions(Protocol):
    """Runs functions as transactions on relay.db; raises what `Database` does."""

    async def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Returns what `work` returns, once that is on disk. `work` may be undone and run a second time."""
        ...

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T: ...


@value_type
class _Change:
    work: Callable[[sqlite3.Connection], Any]
    result: asyncio.Future[Any]

    def end(self, outcome: object) -> None:
        """Tells the caller, if there still is one."""
        if self.result.done():
            return
        if isinstance(outcome, Exception):
            self.result.set_exception(outcome)
        else:
            self.result.set_result(outcome)


class GroupCommit:
    """`Transactions` that share their commits. The works run one after the other, in the order of their coming.

    A work that raises is undone, and fails alone. If a group cannot be committed, each of its works is tried in a
    transaction of its own, so that one too large for the disk takes no other along.
    Test: test_a_change_that_fails_takes_nothing_of_its_group_along.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Change] = deque()
        self._committing: asyncio.Task[None] | None = None

    async def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`Transactions.transaction`. If the caller is cancelled, the work is done nevertheless."""
        change = _Change(work, asyncio.get_running_loop().create_future())
        self._waiting.append(change)
        if self._committing is None:
            self._committing = start(self._commit_all(), name="group commit")
        result: T = await change.result
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`, which only reads, and sees what is committed by then."""
        return await self._database.read(work)

    async def close(self) -> None:
        """Returns when every change that was asked for has ended."""
        if self._committing is not None:
            await asyncio.wait((self._committing,))

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
                await self._commit(group)
        finally:
            self._committing = None

    async def _commit(self, group: list[_Change]) -> None:
        if len(group) > 1:
            try:
                outcomes = await self._database.transactions([change.work for change in group])
            except Exception as error:  # noqa: BLE001 - it is each caller's: the file is closed, or locked by others
                outcomes = [error] * len(group)
            if outcomes is not None:
                for change, outcome in zip(group, outcomes, strict=True):
                    change.end(outcome)
                return
        for change in group:
            change.end(await self._commit_alone(change))

    async def _commit_alone(self, change: _Change) -> object:
        try:
            return await self._database.transaction(change.work)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            return error
