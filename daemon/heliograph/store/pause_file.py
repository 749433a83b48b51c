"""Keeps over restarts the pause that the user asked for, in pause.json in the state folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from heliograph.accounts import state_root, write_private_file
from heliograph.core.popups.quiet import NO_PAUSE, Pause

log = logging.getLogger(__name__)

_LARGEST = 1024


def pause_file() -> Path:
    """The path of pause.json, whether that file exists or not."""
    return state_root() / "pause.json"


def load_pause(file: Path) -> Pause:
    """The pause, if there is one. A file that cannot be read counts as none: too many notifications are better than
    none."""
    try:
        with file.open("rb") as stream:
            kept = json.loads(stream.read(_LARGEST))
            until_ms, is_everywhere = kept["until_ms"], kept.get("everywhere", False)
    except FileNotFoundError:
        return NO_PAUSE
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("%s cannot be read and counts as none: %s", file, error)
        return NO_PAUSE
    # Not isinstance: JSON's true is an int to Python.
    return Pause(until_ms, is_everywhere is True) if type(until_ms) is int else NO_PAUSE


def save_pause(file: Path, pause: Pause) -> None:
    """Keeps the pause, or that there is none. Raises StateError."""
    kept = {"until_ms": pause.until_ms, "everywhere": pause.is_everywhere}
    write_private_file(file, json.dumps(kept).encode())
