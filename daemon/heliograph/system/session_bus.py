"""Finds the user's session bus."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

_LINGERING = Path("/var/lib/systemd/linger")
"""logind keeps an empty file here for each user who lingers, under the user's name."""


def session_bus_address() -> str | None:
    """The address of the session bus: the one in the environment, or else the usual one of the user (for ssh and cron).
    None: there is no runtime folder either. Whether anything listens there is not checked.
    """
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return f"unix:path={folder}/bus"
    return None


def outlives_sessions(address: str) -> bool:
    """True if the bus at `address` belongs to the user, not to one session, and the user lingers (`loginctl
    enable-linger`). Such a bus comes back at the same address after it went away.
    """
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not folder or address.partition(",")[0] != f"unix:path={folder}/bus":
        return False
    try:
        return (_LINGERING / pwd.getpwuid(os.getuid()).pw_name).exists()
    except (KeyError, OSError):
        return False
