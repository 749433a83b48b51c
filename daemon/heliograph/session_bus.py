"""Where the user's session bus is."""

from __future__ import annotations

import os


def session_bus_address() -> str | None:
    """The session's, or where the user's own would be if the environment names none (ssh, cron). None: nowhere.

    Nothing may listen there.
    """
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return f"unix:path={folder}/bus"
    return None
