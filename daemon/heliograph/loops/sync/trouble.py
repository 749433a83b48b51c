"""Tells the user when the sync of one account does not work, and takes that back when it works again.

There is one measure, whatever the reason: no long poll has worked for 15 minutes in which the network was up. A list of
reasons forgot most of them. Syncs that return at once do not count: they may work where polls never do. That the whole
network is down is no news to the user; the kernel's routes tell (`homeserver.network`), and if they do not, the network
counts as up. Test: test_an_outage_is_told_once_after_a_quarter_of_an_hour_whatever_its_reasons.
"""

from __future__ import annotations

from collections.abc import Callable

from heliograph.core.outage import ABOUT_DISK, ABOUT_SYNC, Cause, Outage, word_disk, word_outage
from heliograph.errors import AccountLocked, BadAnswer, RateLimited, Refused, StorageError, TokenRefused, Unreachable
from heliograph.ports.notices import Troubles


class Stale(Unreachable):
    """Every poll is answered at once, and with nothing new."""


class SyncTrouble:
    """Watches the sync of one account.

    `server` is the homeserver's name for people. `clock` gives seconds: of a clock that nobody sets, and that stands
    while the machine sleeps.
    """

    def __init__(
        self, server: str, troubles: Troubles, clock: Callable[[], float], is_network_up: Callable[[], bool]
    ) -> None:
        self._server = server
        self._troubles = troubles
        self._clock = clock
        self._is_network_up = is_network_up
        self._outage: Outage | None = None
        self._last: Exception | None = None

    def begin(self) -> None:
        """The loop has begun: from now on polls ought to work."""
        # Once only: a loop that crashed and begins again goes on with the outage that it was in.
        self._outage = self._outage or Outage(self._clock())

    def note_poll(self) -> None:
        """A long poll worked."""
        self._last = None
        if self._outage is not None:
            self._outage.end(self._clock())
        self._troubles.withdraw(ABOUT_SYNC)

    def note_answer(self) -> None:
        """Some sync was answered. That proves nothing but that the account is not locked."""
        if isinstance(self._last, AccountLocked):
            self.note_poll()

    def note_written(self) -> None:
        """The disk has taken a commit."""
        self._troubles.withdraw(ABOUT_DISK)

    def note(self, trouble: Exception) -> None:
        """A turn failed for this reason."""
        if isinstance(trouble, StorageError):
            self._troubles.tell(*word_disk(str(trouble)), about=ABOUT_DISK)
        else:
            self._last = trouble
        self.look()

    def look(self) -> None:
        """Tells the user if the outage has lasted long enough. Called in the midst of long waits, too."""
        if self._outage is None or self._last is None:
            return
        cause = cause_of(self._last)
        if self._outage.take(cause, self._clock(), is_network_up=self._is_network_up()):
            self._troubles.tell(*word_outage(cause, self._server, str(self._last)), about=ABOUT_SYNC)


def cause_of(trouble: Exception) -> Cause:
    """The cause that people are told, by what they can do about it."""
    match trouble:
        case TokenRefused():
            return Cause.TOKEN_REFUSED
        case AccountLocked():
            return Cause.LOCKED
        case Stale():
            return Cause.STALE
        case BadAnswer(status=401):
            return Cause.UNAUTHORIZED
        case Refused():
            return Cause.REFUSED
        case RateLimited():
            return Cause.BUSY
        case BadAnswer():
            return Cause.NO_HOMESERVER
        case Unreachable():
            return Cause.UNREACHABLE
    return Cause.FAULT
