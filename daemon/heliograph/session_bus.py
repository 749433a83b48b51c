"""Where the user's session bus is."""

from __future__ import annotations

import os
from pathlib import Path


def session_bus_address() -> str | None:
    """The bus of the session, or the user's own where the environment names none (ssh, cron); None: there is none."""
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        socket = Path(folder) / "bus"
        if socket.exists():
            return f"unix:path={socket}"
    return None
