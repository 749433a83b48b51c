"""Counts how often a sync was held back, to ask the homeserver once more for what it did not tell."""

from __future__ import annotations

from heliograph.errors import RateLimited, Unreachable

TRIES = 3
"""How often a sync is held back for one kind of question, before it is planned without the answers."""

Trouble = Unreachable | RateLimited


class Tries:
    """The failures in a row of one kind of question. `late` says that the answers did not come in time."""

    def __init__(self, late: str) -> None:
        self._late = late
        self._failures = 0

    def end(self) -> None:
        """All was told, or is given up: from now on there are all tries again."""
        self._failures = 0

    def hold_back(self, error: TimeoutError | Trouble, *, was_more_told: bool) -> Trouble:
        """Takes why the homeserver did not tell all. `was_more_told`: it told something since the failure before.

        Raises Unreachable or RateLimited if the sync is to be held back; returns that error if this was the last try.
        """
        trouble = Unreachable(self._late) if isinstance(error, TimeoutError) else error
        self._failures = 1 if was_more_told else self._failures + 1
        if self._failures < TRIES:
            raise trouble from None
        return trouble
