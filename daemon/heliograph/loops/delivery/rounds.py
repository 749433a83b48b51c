"""When the delivery loop works: woken by others, until it is told to finish, one round after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator


class Rounds:
    """The rounds of one delivery loop. Any other task may wake the loop or wait for it. `clock` gives ms since 1970."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._woken = asyncio.Event()
        self._rested = asyncio.Event()
        self._is_finishing = False
        self._working_since_ms: int | None = None
        """When this round began or last got on; None between rounds."""

    @property
    def is_finishing(self) -> bool:
        """Whether the loop was told to end."""
        return self._is_finishing

    def wake(self) -> None:
        """Asks for a round: as soon as the loop waits, or one more after the round that is going on."""
        self._woken.set()

    def finish(self) -> None:
        """Tells the loop to end with the outcome that is under way."""
        self._is_finishing = True
        self._woken.set()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Lasts for one round. Whoever wakes the loop from now on gets another one."""
        # At the beginning and not at the end: whoever wakes the loop
        # in the midst of a round may have come too late for it.
        self._woken.clear()
        self.note_progress()
        try:
            yield
        finally:
            self._working_since_ms = None
            self._rested.set()

    def note_progress(self) -> None:
        """Notes that this round gets on: many calls that each time out in turn are not a call that hangs."""
        self._working_since_ms = self._clock()

    def is_stuck(self, now_ms: int, longest_ms: int) -> bool:
        """Whether the round that is going on has not got on for longer than `longest_ms`."""
        return self._working_since_ms is not None and now_ms - self._working_since_ms > longest_ms

    async def wait(self, delay_s: float | None) -> None:
        """Returns when the loop is woken, or after `delay_s` seconds; None: only when it is woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._woken.wait()

    async def all_done(self) -> None:
        """Returns when no round is going on and none was asked for."""
        while self._woken.is_set() or self._working_since_ms is not None:
            self._rested.clear()
            await self._rested.wait()
