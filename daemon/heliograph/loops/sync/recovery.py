"""What follows a turn of the sync loop that failed: it is told, waited out, and tried again."""

from __future__ import annotations

import logging

from heliograph.core.sync.situation import Mode
from heliograph.errors import AccountLocked, Dropped, HeliographError, StorageError, TokenRefused
from heliograph.loops.sync.commits import Commits
from heliograph.loops.sync.contact import Contact
from heliograph.loops.sync.mode import ModeKeeper
from heliograph.loops.sync.starting import PATIENCE
from heliograph.loops.sync.trouble import SyncTrouble
from heliograph.loops.sync.waiting import Waiting


class Recovery:
    """Brings one account's loop back after failures. `poll_s` is how long a poll waits, in seconds."""

    def __init__(
        self, contact: Contact, waiting: Waiting, trouble: SyncTrouble, mode: ModeKeeper, commits: Commits, poll_s: int
    ) -> None:
        self._contact = contact
        self._waiting = waiting
        self._trouble = trouble
        self._mode = mode
        self._commits = commits
        self._poll_s = poll_s

    async def wait_out(self, trouble: Exception) -> None:
        """Returns when it is time to try again."""
        self._waiting.failures += 1
        why = str(trouble) if isinstance(trouble, HeliographError) else "an unexpected fault, see the log"
        self._contact.lose(why, logging.INFO if isinstance(trouble, Dropped) else logging.WARNING)
        if self._waiting.failures >= PATIENCE or self._mode.mode is Mode.DIRECT:
            # The homeserver may come back as another one, which no longer says what rings: that would leave us silent.
            self._mode.doubt()
        if isinstance(trouble, StorageError):
            self._commits.write_next()
        self._trouble.note(trouble)
        await self._waiting.back_off(self._waiting.delay_after(trouble, self._longest_wait_s(trouble)))

    def _longest_wait_s(self, trouble: Exception) -> float | None:
        if not isinstance(trouble, AccountLocked):
            return None
        # A user whose account was locked is back within a poll after the lock ends, or with the next access token.
        return min(self._poll_s, trouble.after) if isinstance(trouble, TokenRefused) else self._poll_s
