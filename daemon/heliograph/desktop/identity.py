"""The name, desktop entry and icon by which desktops know, group and mute us."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

APP_NAME = "Heliograph"
DESKTOP_ENTRY = "io.github.heliograph"
"""The name of our desktop entry without ".desktop", as the hint `desktop-entry` wants it; also the icon's name, as the
specification recommends."""

NOTIFYRC = "heliograph"
"""The name of our notifyrc file without ".notifyrc", by which Plasma lists us in its notification settings."""

ICON_FOLDER = Path("icons/hicolor/scalable/apps")
"""Where the icon lies below an XDG data folder."""


def data_file(name: str) -> Path:
    """The path of a file that is shipped with the package."""
    return Path(str(files("heliograph") / "data" / name))


def data_home() -> Path:
    """The user's XDG data folder. A relative path in the environment is ignored (XDG Base Directory Specification)."""
    home = Path(os.environ.get("XDG_DATA_HOME", ""))
    return home if home.is_absolute() else Path.home() / ".local/share"


def data_folders() -> list[Path]:
    """The XDG data folders, the user's own first."""
    system = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    return [data_home(), *(Path(folder) for folder in system.split(":") if folder.startswith("/"))]
