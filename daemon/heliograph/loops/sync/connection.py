"""What the log says about the connection of one account."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.core.connection import Connection, ConnectionState
from heliograph.errors import LoggedOut

log = logging.getLogger(__name__)


class ConnectionReport:
    """Logs each change of the connection once, and keeps its latest state.

    `clock` gives milliseconds since 1970.
    """

    def __init__(self, user_id: str, clock: Callable[[], int]) -> None:
        self._user_id = user_id
        self._server = user_id.partition(":")[2]
        self._clock = clock
        self.state = ConnectionState()

    def connected(self, mode: str, reason: str) -> None:
        """A turn worked, in this mode and for this reason."""
        if self.state.state is Connection.CONNECTED:
            return
        self.state = ConnectionState(Connection.CONNECTED, since_ms=self._clock())
        log.info("%s is connected to %s, mode %s: %s", self._user_id, self._server, mode, reason)

    def offline(self, why: str, level: int = logging.WARNING) -> None:
        """A turn failed. The log gets the same reason only once in a row."""
        offline = ConnectionState(Connection.OFFLINE, why)
        if self.state != offline:
            log.log(level, "%s: %s", self._user_id, why)
        self.state = offline

    def signed_out(self, gone: LoggedOut) -> None:
        """The loop ends, since the homeserver no longer knows the access token."""
        self.state = ConnectionState(Connection.SIGNED_OUT, str(gone))
