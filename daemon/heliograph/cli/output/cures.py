"""Puts into words what the user has to do for an account, for `heliograph status` and `heliograph doctor`."""

from __future__ import annotations

from typing import Any

from heliograph.core.connection import Connection
from heliograph.core.text.clean import clean_line
from heliograph.system.service_manager import to_restart

_LIMIT = 300


def read_cure(account: dict[str, Any]) -> str:
    """What to do, out of the account's part of the daemon's status; "": the daemon names nothing. What the daemon has
    given up, it takes up again only with its next start."""
    cure = clean_line(str(account.get("cure") or ""), _LIMIT)
    if not cure or account.get("state") != Connection.CANNOT_RUN.value:
        return cure
    return f"{cure.rstrip('.')}; then: {to_restart()}"
