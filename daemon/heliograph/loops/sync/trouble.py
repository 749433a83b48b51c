"""What the user is told while the sync of one account does not work, and when that is taken back.

One measure, whatever the reason: no long poll has worked for 15 minutes in which the network was up. Syncs that return
at once do not count: they may work where polls never do. That the whole network is down is no news to the user; whether
it is, the kernel's routes say (`homeserver.network`), and where nobody knows it counts as up.
"""

from __future__ import annotations

from collections.abc import Callable

from heliograph.core.outage import ABOUT_DISK, ABOUT_SYNC, Cause, Outage, word_disk, word_outage
from heliograph.errors import AccountLocked, BadAnswer, RateLimited, Refused, StorageError, Unreachable
from heliograph.ports.troubles import Troubles


class Stale(Unreachable):
    """Every poll is answered at once and with nothing new."""


class SyncTrouble:
    """`server` is the homeserver's name for people. `clock` gives seconds that nobody sets, and that stand while the
    machine sleeps."""

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
        """From now on polls are to work."""
        self._outage = self._outage or Outage(self._clock())

    def note_poll(self) -> None:
        """A long poll worked."""
        self._last = None
        if self._outage is not None:
            self._outage.end(self._clock())
        self._troubles.withdraw(ABOUT_SYNC)

    def note_answer(self) -> None:
        """Some sync was answered. That proves little, but that the account is not locked."""
        if isinstance(self._last, AccountLocked):
            self.note_poll()

    def note_written(self) -> None:
        """The disk took something."""
        self._troubles.withdraw(ABOUT_DISK)

    def note(self, trouble: Exception) -> None:
        """This went wrong."""
        if isinstance(trouble, StorageError):
            self._troubles.tell(*word_disk(str(trouble)), about=ABOUT_DISK)
        else:
            self._last = trouble
        self.look()

    def look(self) -> None:
        """Tells what is to be told by now. Called in the midst of long waits, too."""
        if self._outage is None or self._last is None:
            return
        cause = cause_of(self._last)
        if self._outage.take(cause, self._clock(), is_network_up=self._is_network_up()):
            self._troubles.tell(*word_outage(cause, self._server, str(self._last)), about=ABOUT_SYNC)


def cause_of(trouble: Exception) -> Cause:
    """By what the user can do about it."""
    match trouble:
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
