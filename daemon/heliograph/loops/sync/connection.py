"""What the log and `heliograph status` say about the connection of one account."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.core.status import AccountStatus, Connection
from heliograph.errors import LoggedOut

log = logging.getLogger(__name__)


class ConnectionReport:
    """Logs each change of the connection once, and writes the latest state into `status`.

    `clock` gives milliseconds since 1970.
    """

    def __init__(self, status: AccountStatus, clock: Callable[[], int]) -> None:
        self._status = status
        self._clock = clock
        self._state: Connection | None = None
        self._why = ""

    def connected(self) -> None:
        """A turn worked."""
        if self._state is Connection.CONNECTED:
            return
        self._set(Connection.CONNECTED)
        self._status.connected_since_ms = self._clock()
        status = self._status
        log.info(
            "%s is connected to %s, mode %s: %s", status.user_id, status.homeserver, status.mode, status.mode_reason
        )

    def offline(self, why: str, level: int = logging.WARNING) -> None:
        """A turn failed. The log gets the same reason only once in a row."""
        if self._state is not Connection.OFFLINE or self._why != why:
            log.log(level, "%s: %s", self._status.user_id, why)
        self._set(Connection.OFFLINE, why)
        self._status.connected_since_ms = None

    def signed_out(self, gone: LoggedOut) -> None:
        """The loop ends, since the homeserver no longer knows the access token."""
        self._set(Connection.SIGNED_OUT, str(gone))

    def _set(self, state: Connection, why: str = "") -> None:
        self._state, self._why = state, why
        self._status.connection, self._status.why = state, why
