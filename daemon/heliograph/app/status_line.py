"""The line of `systemctl status`: how many accounts are connected, offline and so on."""

from __future__ import annotations

from collections.abc import Callable

from heliograph.system import systemd


class StatusLine:
    """Sends systemd what `sum_up` says whenever that changes, and only then."""

    def __init__(self, sum_up: Callable[[], str]) -> None:
        self._sum_up = sum_up
        self._told = ""

    def update(self) -> None:
        """Something may have changed."""
        line = self._sum_up()
        if line != self._told:
            self._told = line
            systemd.status(line)
