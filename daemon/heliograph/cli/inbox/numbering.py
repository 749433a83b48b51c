"""Numbers the rooms of the inbox: a room keeps its number from one listing to the next, whatever arrives meanwhile.

The numbers are kept in the cache folder: `heliograph inbox reply 2` must mean the room that was number 2 on the screen,
also after a restart of the daemon. When the inbox is empty, the numbers begin anew.
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
from heliograph.core.value_type import value_type
from heliograph.errors import StateError
from heliograph.system.whole_file import replace_file

NumberedRoom = tuple[str, str]
"""The account's user id and the room id."""
_NOBODY: NumberedRoom = ("", "")
"""Has the largest number of the rooms that were forgotten."""
_LARGEST_FILE = 1024 * 1024
_MOST = 2000


@value_type
class Numbers:
    """The numbers of some rooms, in the order in which the rooms were given."""

    numbers: tuple[int | None, ...]
    """The numbers; None: the disk did not keep a new one, so that it might soon mean another room."""
    problem: str | None = None
    """Why the disk did not take new numbers; None: it did."""


def number_rooms(keys: Sequence[NumberedRoom]) -> Numbers:
    """The numbers of these rooms, which have to be all rooms in the inbox. New rooms get new numbers."""
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
    """The room that had this number in the last listing; None: there was none, or the disk does not tell."""
    try:
        with _locked():
            return next((key for key, known in _read().items() if known == number and key != _NOBODY), None)
    except (StateError, OSError):
        return None


def forget_rooms(user_id: str) -> None:
    """Forgets the rooms of this account. Raises StateError and OSError if the disk keeps them."""
    if not _file().exists():
        return
    with _locked():
        before = _read()
        numbers = {key: number for key, number in before.items() if key[0] != user_id}
        if numbers:
            # Their numbers stay used up: `reply 7` in an old terminal must not reach a room of another account.
            numbers[_NOBODY] = max(before.values())
        _keep(before, numbers)


def _completed(known: dict[NumberedRoom, int], keys: Sequence[NumberedRoom]) -> dict[NumberedRoom, int]:
    """The known numbers, and new ones for rooms that have none."""
    known = dict(known)
    for key in keys:
        if key not in known:
            # Never a number that another room has had: it may still stand in a terminal.
            known[key] = max(known.values(), default=0) + 1
    return known


def _newest(known: dict[NumberedRoom, int], keys: Sequence[NumberedRoom]) -> dict[NumberedRoom, int]:
    """The numbers without those that were listed longest ago, if there are too many."""
    return dict(list(known.items())[-_MOST:]) | {key: known[key] for key in keys}


def _partly(known: dict[NumberedRoom, int], keys: Sequence[NumberedRoom], problem: str) -> Numbers:
    numbers = tuple(known.get(key) for key in keys)
    return Numbers(numbers, problem if None in numbers else None)


def _keep(before: dict[NumberedRoom, int], numbers: dict[NumberedRoom, int]) -> None:
    """Writes the numbers to disk, unless nothing is new. Raises OSError."""
    if numbers == before:
        return
    text = json.dumps([[account, room_id, number] for (account, room_id), number in numbers.items()])
    make_private_folder(cache_root())
    replace_file(_file(), text.encode())


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Lets only one listing at a time use the numbers. The lock is on the folder, since the file itself is replaced."""
    # Not made anew if it is there: on a full or read-only disk that may fail, and known numbers can still be read.
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
    """The numbers on disk. A file that cannot be understood counts as empty. Raises OSError."""
    try:
        # Bounded, since the cache may hold anything: a longer file is cut off, is no JSON then, and counts as empty.
        with _file().open("rb") as stream:
            entries: Any = json.loads(stream.read(_LARGEST_FILE))
        return {(str(account), str(room_id)): int(number) for account, room_id, number in entries}
    except (FileNotFoundError, ValueError, TypeError, OverflowError, RecursionError):
        return {}
