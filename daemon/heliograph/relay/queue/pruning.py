"""Forgets what became of pushes and events two days ago, a few rows at a time, beside everything else."""

from __future__ import annotations

import asyncio
import logging

from heliograph.errors import StateError, StorageError
from heliograph.relay.clock import Clock
from heliograph.relay.ports import PushStore
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

EVERY_MS = 3_600_000
PAUSE_MS = 10
"""Between two times, so that no push waits for more than one of them. A million rows take a few minutes."""


class PushPruning:
    """A loop that prunes the queue at the start, and then every hour at least."""

    def __init__(self, store: PushStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Runs until cancelled. Raises StateError if the database is damaged."""
        await keep_running("pruning", self._run, ends_with=(StateError,), clock=self._clock.now_ms)

    async def _run(self) -> None:
        while True:
            pause_ms = PAUSE_MS if await self._prune() else EVERY_MS
            # Nothing sets this event. The clock may end the wait sooner, which does no harm.
            await self._clock.wait(asyncio.Event(), self._clock.now_ms() + pause_ms)

    async def _prune(self) -> bool:
        try:
            return await self._store.prune(self._clock.now_ms())
        except StorageError as error:
            log.warning("Old pushes could not be forgotten: %s", error)
            return False
