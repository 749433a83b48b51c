"""Whether LXQt's user has do not disturb on. Its notification server tells nobody; it keeps that in a file, in which it
is changed by its tray icon and by LXQt's settings."""

from __future__ import annotations

from configparser import ConfigParser, Error

from heliograph.desktop.config_folders import config_folders

_NAME = "lxqt/notifications.conf"
_MOST_BYTES = 100_000


def is_do_not_disturb() -> bool:
    """By the first notifications.conf that says so, or says not. One that cannot be read says nothing."""
    for folder in config_folders():
        config = ConfigParser(interpolation=None, strict=False)
        try:
            with (folder / _NAME).open(encoding="utf-8", errors="replace") as file:
                config.read_string(file.read(_MOST_BYTES))
        except (OSError, Error):
            continue
        # QSettings has what is in no group under this name.
        value = config.get("General", "doNotDisturb", fallback="")
        if value:
            return value.strip() == "true"
    return False
