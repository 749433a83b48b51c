"""An event loop in which waiting takes no time: where nothing is left to do, its clock jumps to the next timer.

So hours of back-off are tried in milliseconds, and in the order in which they would really happen.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class _LeapingSelector(selectors.EpollSelector):
    """Instead of waiting for a timer it calls `leap`; it waits for threads, whose work does take time."""

    def __init__(self) -> None:
        super().__init__()
        self.leap: Callable[[float], None] = lambda seconds: None
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or self.threads:
            return super().select(timeout)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.leap(timeout)
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """`time` starts at 0. `calls_in_threads` counts what was handed to threads."""

    def __init__(self) -> None:
        self._now = 0.0
        self.calls_in_threads = 0
        self._leaping = _LeapingSelector()
        self._leaping.leap = self._leap
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self._leaping.threads += 1
        self.calls_in_threads += 1
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._note_thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # In Python 3.12 and later with a time-out, which must not be leapt over.
        self._leaping.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._leaping.threads -= 1

    def _leap(self, seconds: float) -> None:
        self._now += seconds

    def _note_thread_done(self, future: asyncio.Future[Any]) -> None:
        self._leaping.threads -= 1
