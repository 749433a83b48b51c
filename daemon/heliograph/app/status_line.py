"""The line of `systemctl status`: how the accounts fare."""

from __future__ import annotations

from heliograph.core.status import DaemonStatus
from heliograph.system import systemd


class StatusLine:
    """Sends systemd the line whenever it changes, and only then."""

    def __init__(self, status: DaemonStatus) -> None:
        self._status = status
        self._told = ""

    def update(self) -> None:
        """Something may have changed."""
        summary = self._status.summary
        if summary != self._told:
            self._told = summary
            systemd.status(summary)
