"""What follows a turn of the sync loop that failed: it is told, waited out, and tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.core.sync.situation import Mode
from heliograph.errors import AccountLocked, BadAnswer, Dropped, HeliographError, LoggedOut, StorageError
from heliograph.loops.sync.catching_up import CatchingUp
from heliograph.loops.sync.collecting import Collecting
from heliograph.loops.sync.commits import Commits
from heliograph.loops.sync.connection import ConnectionReport
from heliograph.loops.sync.mode import ModeKeeper
from heliograph.loops.sync.settings import SyncSettings
from heliograph.loops.sync.sign_out import SignOutCheck
from heliograph.loops.sync.starting import PATIENCE
from heliograph.loops.sync.trouble import SyncTrouble
from heliograph.loops.sync.waiting import Waiting
from heliograph.ports.homeserver import Homeserver


class Recovery:
    """Brings one account's loop back after failures. `jitter` gives numbers in [0, 1)."""

    def __init__(
        self,
        homeserver: Homeserver,
        settings: SyncSettings,
        connection: ConnectionReport,
        waiting: Waiting,
        trouble: SyncTrouble,
        mode: ModeKeeper,
        commits: Commits,
        catching_up: CatchingUp,
        collecting: Collecting,
        *,
        jitter: Callable[[], float],
    ) -> None:
        self._user_id = homeserver.user_id
        self._poll_s = settings.poll_s
        self._connection = connection
        self._waiting = waiting
        self._trouble = trouble
        self._sign_out = SignOutCheck(
            homeserver.whoami, waiting.sleep, trouble.note, jitter=jitter, interval_s=settings.sign_out_interval_s
        )
        self._mode = mode
        self._commits = commits
        self._catching_up = catching_up
        self._collecting = collecting

    async def wait_out(self, trouble: Exception) -> None:
        """Returns when it is time to try again."""
        self._waiting.failures += 1
        why = str(trouble) if isinstance(trouble, HeliographError) else "an unexpected fault, see the log"
        self._go_offline(why, logging.INFO if isinstance(trouble, Dropped) else logging.WARNING)
        if self._waiting.failures >= PATIENCE or self._mode.mode is Mode.DIRECT:
            # The homeserver may come back as another one, which no longer says what rings: that would leave us silent.
            self._mode.doubt()
        if isinstance(trouble, StorageError):
            self._commits.write_next()
        self._trouble.note(trouble)
        # A user whose account was locked is back within a poll after the lock ends.
        longest_s = float(self._poll_s) if isinstance(trouble, AccountLocked) else None
        await self._waiting.back_off(self._waiting.delay_after(trouble, longest_s))

    async def check_sign_out(self, gone: LoggedOut) -> LoggedOut | None:
        """The sign-out, once it is confirmed. None if the device is still signed in: then the loop goes on."""
        self._go_offline(f"checking whether {self._user_id} was signed out")
        confirmed = await self._sign_out.confirm(gone)
        if confirmed is None:
            await self.wait_out(BadAnswer(200, f"took {self._user_id} for signed out, and knows its access token"))
        else:
            self._connection.signed_out(confirmed)
        return confirmed

    def _go_offline(self, why: str, level: int = logging.WARNING) -> None:
        self._collecting.refuse()
        self._connection.offline(why, level)
        self._catching_up.begin()
