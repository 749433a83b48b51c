"""Until when the user wants it quiet, kept over restarts: pause.json in the state folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from heliograph.accounts import state_root, write_private_file

log = logging.getLogger(__name__)

_LARGEST = 1024


def pause_file() -> Path:
    """Where it is."""
    return state_root() / "pause.json"


def load_pause(file: Path) -> int:
    """When the pause ends, in ms since 1970; 0: there is none. A file that says nothing sensible says so, too."""
    try:
        with file.open("rb") as stream:
            until_ms = json.loads(stream.read(_LARGEST))["until_ms"]
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read and counts as none: %s", file, error)
        return 0
    return until_ms if type(until_ms) is int else 0


def save_pause(file: Path, until_ms: int) -> None:
    """Raises StateError."""
    write_private_file(file, json.dumps({"until_ms": until_ms}).encode())
