"""The numbers of the inbox: a room keeps its number from one listing to the next, whatever arrives meanwhile.

Kept in the cache folder, since `heliograph inbox reply 2` must mean what was 2 on the screen, also after a restart of
the daemon. When the inbox is empty they begin anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heliograph.accounts import cache_root, make_private_folder

Key = tuple[str, str]
"""Account and room id."""
_LARGEST_FILE = 1024 * 1024
_MOST = 2000


def number_rooms(keys: Sequence[Key]) -> list[int]:
    """The number of each of these, which are all that the inbox holds. Raises StateError."""
    with _opened() as descriptor:
        known = {key: number for key, number in _read(descriptor).items() if keys}
        for key in keys:
            if key not in known:
                known[key] = max(known.values(), default=0) + 1
        # The newest of them: what was listed long ago may go.
        kept = dict(list(known.items())[-_MOST:]) | {key: known[key] for key in keys}
        _write(descriptor, kept)
    return [known[key] for key in keys]


def find_number(number: int) -> Key | None:
    """What had this number when it was last listed. Raises StateError."""
    with _opened() as descriptor:
        return next((key for key, known in _read(descriptor).items() if known == number), None)


@contextlib.contextmanager
def _opened() -> Iterator[int]:
    make_private_folder(cache_root())
    path = _file()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _file() -> Path:
    return cache_root() / "inbox.json"


def _read(descriptor: int) -> dict[Key, int]:
    try:
        entries: Any = json.loads(os.pread(descriptor, _LARGEST_FILE, 0))
        return {(str(account), str(room_id)): int(number) for account, room_id, number in entries}
    except (ValueError, TypeError, RecursionError):
        return {}


def _write(descriptor: int, numbers: dict[Key, int]) -> None:
    text = json.dumps([[account, room_id, number] for (account, room_id), number in numbers.items()]).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)
