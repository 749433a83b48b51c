"""When a burst is shown as one, and heard once."""

from __future__ import annotations

from collections import deque

BURST_MS = 2000
"""How long messages are gathered at the most."""
MOST_SHOWN = 40
"""Times that something is shown within that; more often, no person and no notification server can follow."""


class BurstWindow:
    """Says how long to gather what comes, for one account. Times are milliseconds; a clock that jumps ends one."""

    def __init__(self, most_new: int) -> None:
        """`most_new`: popups that come up anew within the window, before what else comes is gathered."""
        self._most_new = most_new
        self._held_from_ms: int | None = None
        self._shown: deque[int] = deque(maxlen=MOST_SHOWN)
        self._new: deque[int] = deque(maxlen=most_new)

    def hold(self, now_ms: int) -> None:
        """More is known to come: all of it is to be shown together."""
        if self._held_from_ms is None or not 0 <= now_ms - self._held_from_ms < BURST_MS:
            self._held_from_ms = now_ms

    def release(self) -> None:
        """It has come."""
        self._held_from_ms = None

    def end(self) -> None:
        """What was gathered is to be shown now, whatever comes yet."""
        self.release()
        self._shown.clear()
        self._new.clear()

    def note_shown(self, now_ms: int, *, is_new: bool, is_summary: bool = False) -> None:
        """Something was shown; `is_new`: not in place of another. After a summary the next messages are gathered."""
        self._shown.append(now_ms)
        if is_new or is_summary:
            self._new.extend([now_ms] * (self._most_new if is_summary else 1))

    def wait_ms(self, now_ms: int) -> int:
        """How long to go on gathering; 0: show it."""
        begins = [times[0] for times in (self._shown, self._new) if len(times) == times.maxlen]
        if self._held_from_ms is not None:
            begins.append(self._held_from_ms)
        wait = max((begin + BURST_MS - now_ms for begin in begins if begin <= now_ms), default=0)
        return max(0, wait)


class SoundGate:
    """Lets one sound through in the time of a window, for all accounts together."""

    def __init__(self) -> None:
        self._last_ms: int | None = None

    def passes(self, now_ms: int, *, is_call: bool = False) -> bool:
        """Whether this one may sound. A call always may."""
        is_too_soon = self._last_ms is not None and 0 <= now_ms - self._last_ms < BURST_MS
        if is_too_soon and not is_call:
            return False
        self._last_ms = now_ms
        return True
