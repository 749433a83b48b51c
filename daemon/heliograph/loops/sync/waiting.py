"""The waits between the turns of one account's sync, and how a nudge ends them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from heliograph.core.backoff import reconnect_delay
from heliograph.errors import RateLimited

BEAT_S = 60.0
HASTY_ALLOWED = 3
"""Answers that may come too fast in a row before the loop pauses."""
LONGEST_PAUSE_S = 5.0


class Waiting:
    """Waits after failures, and between answers that come too fast.

    `on_beat` is called before each wait, and once a minute in it: a server may ask for an hour, and the watchdog wants
    to see life. `jitter` gives numbers in [0, 1).
    """

    def __init__(self, jitter: Callable[[], float], on_beat: Callable[[], None]) -> None:
        self._nudged = asyncio.Event()
        self._jitter = jitter
        self._on_beat = on_beat
        self.failures = 0
        """In a row, until a poll works; a nudge counts as a new beginning."""
        self._hasty_answers = 0

    def nudge(self) -> None:
        """Ends the wait, or the next one if there is none now: it is worth trying again at once."""
        self._nudged.set()

    def note_turn(self) -> None:
        """A turn worked: a nudge from before has done what it was for."""
        self._nudged.clear()

    def note_poll(self) -> None:
        """A poll waited for news, or brought some."""
        self.failures = self._hasty_answers = 0

    def delay_after(self, trouble: Exception, longest_s: float | None = None) -> float:
        """Seconds to wait before the next try, by the count of failures and what the server asked for."""
        asked = trouble.after if isinstance(trouble, RateLimited) else None
        delay = reconnect_delay(self.failures, self._jitter(), asked)
        return delay if longest_s is None else min(delay, longest_s)

    async def back_off(self, delay_s: float) -> None:
        """Waits for so many seconds, or until nudged, which is a new beginning."""
        if await self.sleep(delay_s):
            self.failures = 0

    async def pause(self) -> None:
        """Waits a little if a homeserver, or the cache of a proxy, answers poll after poll at once with nothing new."""
        self._hasty_answers += 1
        if self._hasty_answers > HASTY_ALLOWED:
            await self.sleep(min(2.0 ** min(self._hasty_answers - HASTY_ALLOWED - 1, 16), LONGEST_PAUSE_S))

    async def sleep(self, delay_s: float) -> bool:
        """Waits for so many seconds, or until nudged. Returns True if nudged."""
        while delay_s > 0 and not self._nudged.is_set():
            self._on_beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(delay_s, BEAT_S)):
                    await self._nudged.wait()
            delay_s -= BEAT_S
        is_nudged = self._nudged.is_set()
        self._nudged.clear()
        return is_nudged
