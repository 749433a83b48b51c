"""Feeds systemd's watchdog only while every loop turns: one account that hangs must not hide behind another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from heliograph.system.tasks import keep_running

LONGEST_TURN_S = 150.0
"""The longest poll (120 s) and its grace, and some seconds of work."""
FED_S = 1.0
"""Turns do not feed it more often: while messages come one after another, each would wake systemd."""


class Watchdog:
    """Watches the loops of all accounts. `clock` gives monotonic seconds; `feed` tells systemd."""

    def __init__(self, clock: Callable[[], float], feed: Callable[[], None]) -> None:
        self._clock = clock
        self._feed = feed
        self._beats: dict[str, float] = {}
        self._checks: dict[str, Callable[[], bool]] = {}
        self._fed_at = -FED_S

    def watch(self, name: str, is_stuck: Callable[[], bool]) -> None:
        """Watches this loop from now on: it must beat, and must not be stuck."""
        self._beats[name] = self._clock()
        self._checks[name] = is_stuck

    def release(self, name: str) -> None:
        """This loop ended as it should."""
        self._beats.pop(name, None)
        self._checks.pop(name, None)

    def beat(self, name: str) -> None:
        """This loop made a turn."""
        # A loop that was released is not watched by a late beat of it.
        if name in self._beats:
            self._beats[name] = self._clock()
        if self._clock() - self._fed_at >= FED_S:
            self.look()

    def look(self) -> None:
        """Feeds unless a loop is late or stuck."""
        now = self._clock()
        if all(now - last < LONGEST_TURN_S for last in self._beats.values()) and not any(
            is_stuck() for is_stuck in self._checks.values()
        ):
            self._fed_at = now
            self._feed()

    async def keep_looking(self, patience_s: float) -> None:
        """For a unit whose WatchdogSec (`patience_s`) is shorter than a turn may take, which costs wake-ups. Runs until
        cancelled, and stalls as the event loop does."""
        await keep_running("watchdog", partial(self._keep_looking, patience_s))

    async def _keep_looking(self, patience_s: float) -> None:
        while True:
            self.look()
            # sd_watchdog_enabled(3) advises half the time; a third leaves room for a look that comes late.
            await asyncio.sleep(patience_s / 3)
