"""Whether the relay is to be taken out: `heliograph relay leave` puts a file into the state folder, and takes it away.

A file, so that only who may write to the state folder decides, and a restart changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from heliograph.system.tasks import keep_running, start

LEAVING_NAME = "leaving"
LOOK_S = 0.5
"""How often the file is looked for."""


class Departure:
    """`is_leaving`: the relay puts back the pushers of whoever passes, and takes no new ones."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.is_leaving = False

    @classmethod
    @contextlib.asynccontextmanager
    async def watched(cls, folder: Path) -> AsyncIterator[Departure]:
        """Follows the file for as long as this lasts."""
        departure = cls(folder / LEAVING_NAME)
        await departure._look()
        watching = start(keep_running("departure", departure._watch), name="departure")
        try:
            yield departure
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        # In a thread: a disk may take its time.
        self.is_leaving = await asyncio.to_thread(self._file.exists)


def set_leaving(folder: Path, *, is_leaving: bool) -> None:
    """Has the relay of this folder leave, or stay. Raises OSError."""
    file = folder / LEAVING_NAME
    if is_leaving:
        file.touch(mode=0o644)
    else:
        file.unlink(missing_ok=True)
