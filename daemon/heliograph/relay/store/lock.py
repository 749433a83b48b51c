"""Lets only one relay at a time use a state folder, by a lock (flock(2)) on a file beside the database.

Two relays on one folder would each reject the pushers that only the other knows, and the homeserver would delete them.
The kernel releases the lock when the process ends, however that ends, so none can be left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from heliograph.errors import StateError

LOCK_NAME = "relay.lock"


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Lasts for as long as this process has the folder. Raises StateError if another one has it, or if the folder
    cannot be written."""
    path = folder / LOCK_NAME
    try:
        # Not inherited: a program that the relay starts would hold the lock after its end.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not replaced: the lock is on this very file.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        raise StateError(
            f"Another relay uses {path.parent} ({_holder(descriptor)})",
            "Stop that one, or give this one a folder of its own with --state",
        ) from error
    except OSError as error:
        raise _unusable(path, error) from error


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    # Before its holder has written it, or where the holder runs in another container, the number says nothing.
    return f"process {text}" if text.isdigit() else "of an unknown process"


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path} cannot be written: {error.strerror or error}",
        f"Make {path.parent} a folder that the relay owns and may write to.",
    )
