"""Whether the account is still catching up on what came while the daemon was away."""

from __future__ import annotations

MOST_SYNCS = 3
"""Syncs in a row that catch up; on a busy account there is always something new."""


class CatchingUp:
    """True from the start, or an outage, until a sync brings nothing new.

    One answer does not prove that: a homeserver may answer from a cache, as it would have minutes ago.
    """

    def __init__(self) -> None:
        self.is_on = True
        self._syncs = 0

    def begin(self) -> None:
        """The homeserver could not be reached: what comes next may have waited for hours."""
        self.is_on = True

    def note_sync(self, *, has_more: bool) -> bool:
        """Takes whether a sync moved the token. Returns True if the account has caught up with this very sync."""
        # Counted anew in each absence.
        self._syncs = self._syncs + 1 if self.is_on else 0
        has_ended = self.is_on and (not has_more or self._syncs >= MOST_SYNCS)
        if has_ended:
            self.is_on = False
        return has_ended
