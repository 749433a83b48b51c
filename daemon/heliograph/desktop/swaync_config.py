"""Whether swaync lets its user type into a notification. It says so in any case, and hides the button unless its
config.json has that on."""

from __future__ import annotations

import json

from heliograph.desktop.config_folders import config_folders

_NAME = "swaync/config.json"
_SETTING = "notification-inline-replies"
_MOST_BYTES = 1_000_000
HINT = f'To answer in notifications, set "{_SETTING}": true in ~/.config/swaync/config.json, and restart swaync.'


def lets_reply() -> bool:
    """Whether the first config.json that swaync finds has inline replies on. One that cannot be read has them off."""
    for folder in config_folders():
        try:
            with (folder / _NAME).open("rb") as file:
                config = json.loads(file.read(_MOST_BYTES))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(config, dict) and config.get(_SETTING) is True
    return False
