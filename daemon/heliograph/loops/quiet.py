"""Knows whether it is quiet now: in the user's pause, which outlives the daemon, or in quiet hours.

What is quiet stays PENDING, so that it is shown afterwards unless it was read. Do-not-disturb of the desktop is told
and left to the desktop, which keeps a list. Who is not to be disturbed at this desktop counts as away from it, so that
other devices ring, unless quiet is for all of them. Tests: test_in_a_pause_nothing_pops_up_and_afterwards_it_does,
test_the_desktops_own_do_not_disturb_is_told_and_left_to_it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from heliograph.core.popups.quiet import (
    NO_PAUSE,
    PAUSED,
    Pause,
    Quiet,
    QuietHours,
    Through,
    Zone,
    next_change_ms,
    parse_pause,
    quiet_at,
)
from heliograph.errors import UserError
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

LONGEST_LOOK_S = 900.0
"""asyncio's clock stands still in suspend, and somebody may set the other: it is looked at this often at least, while
something is to change."""


class QuietLoop:
    """Knows when it is quiet. `keep` writes a pause down."""

    def __init__(
        self,
        hours: QuietHours,
        through: Through,
        zone: Zone,
        *,
        clock: Callable[[], int],
        keep: Callable[[Pause], Awaitable[None]],
        pause: Pause = NO_PAUSE,
    ) -> None:
        self._hours = hours
        self._through = through
        self._zone = zone
        self._clock = clock
        self._keep = keep
        self._pause = pause
        self._told: Quiet | None = None
        self._woken = asyncio.Event()

    @property
    def quiet(self) -> Quiet | None:
        """The quiet that holds now; None: it is not quiet."""
        return quiet_at(self._clock(), self._zone, self._hours, self._pause)

    @property
    def through(self) -> Through | None:
        """What pops up all the same; None: all, since it is not quiet."""
        return self._through if self.quiet is not None else None

    @property
    def paused_until_ms(self) -> int:
        """When the pause ends, in ms since 1970; 0: there is none."""
        return self._pause.until_ms if self._pause.holds(self._clock()) else 0

    @property
    def why_away(self) -> str:
        """Why the user counts as away from this desktop, whose other devices ring then; "": no quiet does that."""
        quiet = self.quiet
        if quiet is None or quiet.is_everywhere:
            return ""
        return "you have paused notifications here" if quiet.why == PAUSED else "these are quiet hours here"

    @property
    def is_everywhere(self) -> bool:
        """Whether it is quiet, and the user's other devices are not to ring either."""
        quiet = self.quiet
        return quiet is not None and quiet.is_everywhere

    async def pause(self, words: str, *, is_everywhere: bool = False) -> int:
        """Begins a pause, and returns when it ends, in ms since 1970. Raises UserError for words that are no time, and
        StateError if the pause cannot be written down."""
        try:
            until_ms = parse_pause(words, self._clock(), self._zone)
        except ValueError as error:
            raise UserError(f"{str(error)[:300]}.", "heliograph pause 1h, or heliograph pause until 08:00") from None
        # On disk first: a pause that the next start forgets would have the night ring.
        pause = Pause(until_ms, is_everywhere)
        await self._keep(pause)
        self._pause = pause
        self.look()
        return until_ms

    async def resume(self) -> None:
        """Ends the pause; quiet hours go on."""
        await self._keep(NO_PAUSE)
        self._pause = NO_PAUSE
        self.look()

    def look(self) -> None:
        """The clock may show another time than expected: the machine slept, or the pause changed."""
        self._woken.set()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Runs until cancelled. Calls `on_change` when it becomes quiet or ceases to be."""
        await keep_running("quiet", partial(self._run, on_change), clock=self._clock)

    async def _run(self, on_change: Callable[[], None]) -> None:
        while True:
            self._woken.clear()
            quiet = self.quiet
            if quiet != self._told:
                log.info("Quiet from now on: %s" if quiet else "No longer quiet%s", quiet.why if quiet else "")
                on_change()
                self._told = quiet
            now_ms = self._clock()
            change_ms = next_change_ms(now_ms, self._zone, self._hours, self._pause)
            delay = None if change_ms is None else min((change_ms - now_ms) / 1000, LONGEST_LOOK_S)
            try:
                async with asyncio.timeout(delay):
                    await self._woken.wait()
            except TimeoutError:
                pass
