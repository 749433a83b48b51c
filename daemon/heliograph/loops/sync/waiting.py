"""The waits of one account's sync: after a failure, between answers that come too fast, and how a nudge ends them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from heliograph.core.backoff import reconnect_delay
from heliograph.errors import RateLimited

BEAT_S = 60.0
HASTY_ALLOWED = 3
LONGEST_PAUSE_S = 5.0


class Waiting:
    """`nudged` is set by whoever knows that it is worth trying again at once. `on_beat` is called before each wait and
    once a minute in it: a server may ask for an hour. `jitter` gives numbers in [0, 1)."""

    def __init__(self, nudged: asyncio.Event, jitter: Callable[[], float], on_beat: Callable[[], None]) -> None:
        self._nudged = nudged
        self._jitter = jitter
        self._on_beat = on_beat
        self.failures = 0
        """In a row, until a poll works; a nudge counts as a new beginning."""
        self._hasty_answers = 0

    def note_poll(self) -> None:
        """A poll waited for news, or brought some."""
        self.failures = self._hasty_answers = 0

    def delay_after(self, trouble: Exception, longest_s: float | None = None) -> float:
        """Seconds to wait before the next try, by the count of failures and what the server asked for."""
        asked = trouble.after if isinstance(trouble, RateLimited) else None
        delay = reconnect_delay(self.failures, self._jitter(), asked)
        return delay if longest_s is None else min(delay, longest_s)

    async def back_off(self, delay_s: float) -> None:
        """Waits for so long, or until nudged, which is a new beginning."""
        if await self.sleep(delay_s):
            self.failures = 0

    async def pause(self) -> None:
        """For a homeserver, or the cache of a proxy, that answers every poll at once and with nothing new."""
        self._hasty_answers += 1
        if self._hasty_answers > HASTY_ALLOWED:
            await self.sleep(min(2.0 ** min(self._hasty_answers - HASTY_ALLOWED - 1, 16), LONGEST_PAUSE_S))

    async def sleep(self, delay_s: float) -> bool:
        """Waits unless nudged. Whether it was nudged."""
        while delay_s > 0 and not self._nudged.is_set():
            self._on_beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(delay_s, BEAT_S)):
                    await self._nudged.wait()
            delay_s -= BEAT_S
        is_nudged = self._nudged.is_set()
        self._nudged.clear()
        return is_nudged
