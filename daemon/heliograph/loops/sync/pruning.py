"""Once a day the ledger forgets what is older than the configured history."""

from __future__ import annotations

from collections.abc import Callable

from heliograph.ports.ledger import Ledger

DAY_MS = 24 * 3_600_000


class Pruning:
    """Prunes one account's ledger. `clock` gives milliseconds since 1970."""

    def __init__(self, ledger: Ledger, clock: Callable[[], int], history_days: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._history_days = history_days
        self._pruned_at_ms: int | None = None

    async def prune_daily(self) -> None:
        """Prunes at the first call, and then if a day has passed, by a clock that may be set. Raises StorageError."""
        now = self._clock()
        if self._pruned_at_ms is None or abs(now - self._pruned_at_ms) > DAY_MS:
            # Noted before it is done: a ledger that cannot be pruned must not fail at every turn.
            self._pruned_at_ms = now
            await self._ledger.prune(now - self._history_days * DAY_MS)
