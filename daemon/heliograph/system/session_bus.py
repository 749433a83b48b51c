"""Where the user's session bus is."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

_LINGERING = Path("/var/lib/systemd/linger")
"""Where logind keeps who may stay without a session: a file by user name."""


def session_bus_address() -> str | None:
    """The session's, or where the user's own would be if the environment names none (ssh, cron). None: nowhere.

    Nothing may listen there.
    """
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return f"unix:path={folder}/bus"
    return None


def outlives_sessions(address: str) -> bool:
    """The bus is the user's own and not one session's, and the user lingers (`loginctl enable-linger`).

    Should such a bus go, it comes back at the same address.
    """
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not folder or address.partition(",")[0] != f"unix:path={folder}/bus":
        return False
    try:
        return (_LINGERING / pwd.getpwuid(os.getuid()).pw_name).exists()
    except (KeyError, OSError):
        return False
