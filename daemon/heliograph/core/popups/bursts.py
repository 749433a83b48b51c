"""Gathers a burst of messages, so that it is shown as one and heard once.

A burst is what comes between an absence and the end of the catching-up, or in a flood: more new popups than rooms may
have one, or more changes on screen than anybody can follow. A single message is never held back.
Tests: test_what_comes_alone_is_shown_at_once, test_no_burst_is_held_back_for_longer_than_two_seconds.
"""

from __future__ import annotations

from collections import deque

BURST_MS = 2000
"""How long messages are gathered at the most."""
MOST_SHOWN = 40
"""Popups shown or changed within that time. Neither a person nor a notification server can follow more."""


class BurstWindow:
    """Decides for one account how long new messages are gathered. Times are milliseconds since 1970; the window ends if
    the clock is set."""

    def __init__(self, most_new: int) -> None:
        """After `most_new` popups have come up within the window, further messages are gathered."""
        self._most_new = most_new
        self._held_from_ms: int | None = None
        self._shown: deque[int] = deque(maxlen=MOST_SHOWN)
        self._new: deque[int] = deque(maxlen=most_new)

    def hold(self, now_ms: int) -> None:
        """More messages are known to come, and shall be shown together with those that are here."""
        # Not begun anew while it runs: messages that keep coming would put the popup off for ever.
        if self._held_from_ms is None or not 0 <= now_ms - self._held_from_ms < BURST_MS:
            self._held_from_ms = now_ms

    def release(self) -> None:
        """The messages that `hold` waited for have come."""
        self._held_from_ms = None

    def end(self) -> None:
        """Has everything gathered so far shown now, though more may come."""
        self.release()
        self._shown.clear()
        self._new.clear()

    def note_shown(self, now_ms: int, *, is_new: bool, is_summary: bool = False) -> None:
        """A popup was shown; `is_new`: beside those on screen. After a summary further messages are gathered."""
        self._shown.append(now_ms)
        if is_new or is_summary:
            # A summary fills the window at once, so that what follows
            # within it joins the summary and does not stand beside it.
            # Test: test_after_a_summary_what_comes_next_is_gathered.
            self._new.extend([now_ms] * (self._most_new if is_summary else 1))

    def wait_ms(self, now_ms: int) -> int:
        """For how many milliseconds to go on gathering; 0: the messages are to be shown."""
        begins = [times[0] for times in (self._shown, self._new) if len(times) == times.maxlen]
        if self._held_from_ms is not None:
            begins.append(self._held_from_ms)
        # A beginning in the future is from before the clock was set back.
        # Test: test_a_clock_that_is_put_back_does_not_prolong_the_window.
        wait = max((begin + BURST_MS - now_ms for begin in begins if begin <= now_ms), default=0)
        return max(0, wait)


class SoundGate:
    """Lets one sound through in two seconds, for all accounts together; a call always passes.

    Test: test_accounts_that_share_a_gate_sound_once.
    """

    def __init__(self) -> None:
        self._last_ms: int | None = None

    def passes(self, now_ms: int, *, is_call: bool = False) -> bool:
        """Whether a sound may be played at this time, in milliseconds since 1970; if so, the next one waits."""
        # A negative difference comes of a clock that was set back,
        # which must not keep everything silent until it catches up.
        is_too_soon = self._last_ms is not None and 0 <= now_ms - self._last_ms < BURST_MS
        if is_too_soon and not is_call:
            return False
        self._last_ms = now_ms
        return True
