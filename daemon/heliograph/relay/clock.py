"""The relay's only clock. Everything else takes the time as an argument."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from heliograph.system.clock import now_ms

_LONGEST_WAIT_S = 60.0
"""A wall clock that was set forward is noticed after so long."""


class Clock(Protocol):
    """Wall-clock time, since queues outlive the process and the machine's uptime."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...

    async def wait(self, wake: asyncio.Event, until_ms: int | None) -> None:
        """Returns once `wake` is set, or about `until_ms`, or sooner. None: no time is known."""
        ...


class WallClock:
    """`Clock` by the system's time."""

    def now_ms(self) -> int:
        return now_ms()

    async def wait(self, wake: asyncio.Event, until_ms: int | None) -> None:
        seconds = _LONGEST_WAIT_S
        if until_ms is not None:
            # Never below zero: a time in the past is no wait.
            seconds = min(max((until_ms - self.now_ms()) / 1000, 0.0), seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await wake.wait()
