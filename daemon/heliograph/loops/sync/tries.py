"""Counts how often a sync was held back, to ask the homeserver once more for what it did not tell."""

from __future__ import annotations

TRIES = 3
"""How often a sync is held back for one kind of question, before it is planned without the answers."""


class Tries:
    """The failures in a row of one kind of question."""

    def __init__(self) -> None:
        self._failures = 0

    def end(self) -> None:
        """Something was told, or all is given up: from now on there are all tries again."""
        self._failures = 0

    def hold_back(self) -> bool:
        """Counts a failure. Returns True if the sync shall be held back, and False if this was the last try."""
        self._failures += 1
        return self._failures < TRIES
