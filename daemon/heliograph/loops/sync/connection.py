"""What the log says about the connection of one account."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from heliograph.core.connection import Connection, ConnectionState
from heliograph.errors import LoggedOut

log = logging.getLogger(__name__)

_REMEMBERED = 8
"""Reasons that are not logged again. An outage of days may go round several, a minute each."""


class ConnectionReport:
    """Logs each change of the connection once, and keeps its latest state.

    `clock` gives milliseconds since 1970.
    """

    def __init__(self, user_id: str, clock: Callable[[], int]) -> None:
        self._user_id = user_id
        self._server = user_id.partition(":")[2]
        self._clock = clock
        self._logged: deque[str] = deque(maxlen=_REMEMBERED)
        self.state = ConnectionState()

    def connected(self, mode: str, reason: str) -> None:
        """A turn worked, in this mode and for this reason."""
        if self.state.state is Connection.CONNECTED:
            return
        self._logged.clear()
        self.state = ConnectionState(Connection.CONNECTED, since_ms=self._clock())
        log.info("%s is connected to %s, mode %s: %s", self._user_id, self._server, mode, reason)

    def offline(self, why: str, level: int = logging.WARNING) -> None:
        """A turn failed. The log gets the same reason only once until a turn works."""
        if why not in self._logged:
            self._logged.append(why)
            log.log(level, "%s: %s", self._user_id, why)
        self.state = ConnectionState(Connection.OFFLINE, why)

    def signed_out(self, gone: LoggedOut) -> None:
        """The loop ends, since the homeserver no longer knows the access token."""
        self.state = ConnectionState(Connection.SIGNED_OUT, str(gone))
