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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.accounts import cache_root, make_private_folder
from heliograph.errors import StateError
from heliograph.system.whole_file import replace_file

NumberedRoom = tuple[str, str]
"""Account and room id."""
_LARGEST_FILE = 1024 * 1024
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of each room that was asked for, in that order."""

    numbers: tuple[int | None, ...]
    """None: it has none, since the disk would not have kept it, and the same number may soon mean another room."""
    problem: str | None = None
    """Why the disk did not take what is new."""


def number_rooms(keys: Sequence[NumberedRoom]) -> Numbers:
    """The numbers of these, which are all that the inbox holds."""
    known: dict[NumberedRoom, int] = {}
    try:
        with _locked():
            before = _read()
            known = before if keys else {}
            numbered = _completed(known, keys)
            _keep(before, _newest(numbered, keys))
            known = numbered
    except StateError as error:
        return _partly(known, keys, str(error))
    except OSError as error:
        return _partly(known, keys, f"{_file()}: {error.strerror or error}")
    return Numbers(tuple(known[key] for key in keys))


def find_number(number: int) -> NumberedRoom | None:
    """What had this number when it was last listed, as far as the disk can tell."""
    try:
        with _locked():
            return next((key for key, known in _read().items() if known == number), None)
    except (StateError, OSError):
        return None


def _completed(known: dict[NumberedRoom, int], keys: Sequence[NumberedRoom]) -> dict[NumberedRoom, int]:
    """With a number for each key."""
    known = dict(known)
    for key in keys:
        if key not in known:
            known[key] = max(known.values(), default=0) + 1
    return known


def _newest(known: dict[NumberedRoom, int], keys: Sequence[NumberedRoom]) -> dict[NumberedRoom, int]:
    """What was listed long ago may go."""
    return dict(list(known.items())[-_MOST:]) | {key: known[key] for key in keys}


def _partly(known: dict[NumberedRoom, int], keys: Sequence[NumberedRoom], problem: str) -> Numbers:
    numbers = tuple(known.get(key) for key in keys)
    return Numbers(numbers, problem if None in numbers else None)


def _keep(before: dict[NumberedRoom, int], numbers: dict[NumberedRoom, int]) -> None:
    """Nothing is written where nothing is new. Raises OSError."""
    if numbers == before:
        return
    text = json.dumps([[account, room_id, number] for (account, room_id), number in numbers.items()])
    make_private_folder(cache_root())
    replace_file(_file(), text.encode())


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One listing at a time. The folder bears the lock, since the file in it is replaced."""
    if not cache_root().exists():
        make_private_folder(cache_root())
    descriptor = os.open(cache_root(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _file() -> Path:
    return cache_root() / "inbox.json"


def _read() -> dict[NumberedRoom, int]:
    """What is no numbering counts as none. Raises OSError."""
    try:
        with _file().open("rb") as stream:
            entries: Any = json.loads(stream.read(_LARGEST_FILE))
        return {(str(account), str(room_id)): int(number) for account, room_id, number in entries}
    except (FileNotFoundError, ValueError, TypeError, OverflowError, RecursionError):
        return {}
