"""Keeps over restarts until when the user has paused notifications, in pause.json in the state folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from heliograph.accounts import state_root, write_private_file

log = logging.getLogger(__name__)

_LARGEST = 1024


def pause_file() -> Path:
    """The path of pause.json, whether that file exists or not."""
    return state_root() / "pause.json"


def load_pause(file: Path) -> int:
    """When the pause ends, in ms since 1970; 0: there is no pause. A file that cannot be read counts as no pause: too
    many notifications are better than none."""
    try:
        with file.open("rb") as stream:
            until_ms = json.loads(stream.read(_LARGEST))["until_ms"]
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read and counts as none: %s", file, error)
        return 0
    # Not isinstance: JSON's true is an int to Python.
    return until_ms if type(until_ms) is int else 0


def save_pause(file: Path, until_ms: int) -> None:
    """Keeps when the pause ends, in ms since 1970; 0: it has ended. Raises StateError."""
    write_private_file(file, json.dumps({"until_ms": until_ms}).encode())
