"""The folders in which a desktop looks for its programs' configuration, by the XDG Base Directory Specification."""

from __future__ import annotations

import os
from pathlib import Path


def config_folders() -> list[Path]:
    """The user's first, then those of the system."""
    home = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    system = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    return [
        home if home.is_absolute() else Path.home() / ".config",
        *(Path(folder) for folder in system.split(":") if folder.startswith("/")),
    ]
