"""When the delivery loop has work again, unless something wakes it before."""

from __future__ import annotations

LEAST_WAIT_S = 0.5
"""Between two tries: a desktop that asks to be tried again at once shall not keep a processor busy."""
LONGEST_WAIT_S = 600.0
"""Between two tries, however long the desktop asks for. A delivery whose time is further off than this was put off by a
clock that was wrong. Test: test_a_clock_set_back_by_years_does_not_hold_up_a_retry."""
DESKTOP_RETRY_S = 5.0
"""After a popup could not be changed or closed, or a notice could not be shown."""


class Schedule:
    """The next work of one account's delivery loop. Times are milliseconds since 1970."""

    def __init__(self) -> None:
        self._due_ms: int | None = None
        self._burst_ends_ms: int | None = None
        self._is_retry_wanted = False

    def begin_round(self) -> None:
        """Forgets what a round tries anyway. The ledger's next delivery is known until the ledger is asked again."""
        self._is_retry_wanted = False
        self._burst_ends_ms = None

    def note_due(self, due_ms: int | None) -> None:
        """The ledger has its next delivery at this time; None: it has none."""
        self._due_ms = due_ms

    def note_also_due(self, due_ms: int) -> None:
        """Something else is due at this time: a delivery that was put off, or the end of a call that rings."""
        self._due_ms = due_ms if self._due_ms is None else min(self._due_ms, due_ms)

    def note_burst(self, ends_ms: int) -> None:
        """New deliveries are gathered until this time."""
        self._burst_ends_ms = ends_ms

    def note_retry(self) -> None:
        """The desktop could not do something that no delivery waits for."""
        self._is_retry_wanted = True

    def delay_s(self, now_ms: int) -> float | None:
        """Seconds until the next round; None: there is nothing to wait for."""
        waits = [DESKTOP_RETRY_S] if self._is_retry_wanted else []
        if self._burst_ends_ms is not None:
            waits.append(max(0, self._burst_ends_ms - now_ms) / 1000)
        if self._due_ms is not None:
            waits.append(max(LEAST_WAIT_S, (self._due_ms - now_ms) / 1000))
        return min(waits, default=None)
