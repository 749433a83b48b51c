"""Keeps on disk which direct devices are there, so that after a restart pushes wait for these and for no others.

A device that comes is written within a second, and one that goes some time later: polls that follow one another write
nothing. Test: test_polls_that_follow_one_another_write_nothing.
After a kill the disk may know no better than that a device of before was still there. Then pushes wait for that one for
its `active_ms` from the start on, as it may be on its way back.
Test: test_after_a_kill_pushes_wait_for_those_who_were_there_alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from heliograph.errors import StorageError
from heliograph.relay.model.carried import Key
from heliograph.relay.model.presence import DevicePresence
from heliograph.relay.ports import PresenceStore
from heliograph.relay.state.connections import DeviceConnections
from heliograph.system.tasks import cancel, keep_running, start

log = logging.getLogger(__name__)

GONE_MS = 10_000
"""A device whose last request ended so long ago is written down as gone. The end of the relay itself takes less, at
which requests are ended that go on with the next process."""
EVERY_S = 10.0
PAUSE_S = 1.0
"""Between two looks at all devices: after a restart they come one after another."""


class PresenceRecord:
    """The presence of all devices as it was last written, and what has changed since. `now_ms`: ms since 1970."""

    def __init__(
        self,
        store: PresenceStore,
        kept: dict[Key, DevicePresence],
        connections: DeviceConnections,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._kept = kept
        self._connections = connections
        self._now_ms = now_ms
        # One change at a time, as each is computed from what was written before.
        self._writing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """Writes changes for as long as this lasts, and those of the last moments at its end."""
        task = start(keep_running("presence", self._run, clock=self._now_ms), name="presence")
        try:
            yield
        finally:
            await cancel(task)
            await self._try_to_keep()

    async def keep(self) -> None:
        """Writes what has changed. Raises StorageError."""
        async with self._writing:
            gone_ms = self._now_ms() - GONE_MS
            changed = {
                key: now
                for key, now in self._connections.presence(gone_ms).items()
                if now != self._kept.get(key, _UNKNOWN)
            }
            if changed:
                await self._store.put(changed)
                self._kept |= changed

    async def forget(self, key: Key) -> None:
        """The device has no direct pusher any more. Raises StorageError."""
        async with self._writing:
            if self._kept.pop(key, None) is not None:
                await self._store.delete(key)

    async def _run(self) -> None:
        while True:
            # Cleared before the look: whoever comes meanwhile sets it again.
            self._connections.came.clear()
            await self._try_to_keep()
            await asyncio.sleep(PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._connections.came.wait()

    async def _try_to_keep(self) -> None:
        try:
            await self.keep()
        except StorageError as error:
            log.info("Which devices are there cannot be kept now: %s", error)


_UNKNOWN = DevicePresence(ended_ms=0)
