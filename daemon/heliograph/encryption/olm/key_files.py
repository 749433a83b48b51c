"""crypto.db as files. The keys of a device that was signed out are set aside for a day before they are destroyed: if
that was a mistake, or the device signs in again, they are put back.

    <account's folder>/crypto.db, -wal, -shm
    <account's folder>/signed-out-<when, ms since 1970>-<digest of the device id>/    the same three, set aside
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from heliograph.errors import StateError

FILE_NAME = "crypto.db"
KEPT_MS = 24 * 3_600_000

_SUFFIXES = ("-wal", "-shm", "")
"""The database comes last: with it the move counts, and a kill before is made up for by the next one."""
_ASIDE = re.compile(r"signed-out-([0-9]{1,19})-([0-9a-f]{16})")


def destroy(folder: Path) -> None:
    """Deletes the device's keys and all it received. Nothing may have them open. Raises StateError."""
    for suffix in _SUFFIXES:
        _delete(folder / f"{FILE_NAME}{suffix}")


def set_aside(folder: Path, device_id: str, now_ms: int, *, was_in_use: bool = True) -> None:
    """Takes the keys of this device, which was signed out, out of use. Nothing may have them open. Raises StateError.

    Their day begins now; it began before if they were put back since and, not `was_in_use`, it turned out that the
    device is signed out all the same: else whoever starts the daemon each day would keep them for ever.
    """
    if not (folder / FILE_NAME).exists():
        return
    aside = _find(folder, device_id)
    try:
        if aside is not None and was_in_use:
            _remove(aside)
            aside = None
        if aside is None:
            aside = folder / f"signed-out-{now_ms}-{_digest(device_id)}"
            aside.mkdir(mode=0o700, exist_ok=True)
        _move(folder, aside)
    except OSError as error:
        raise StateError(
            f"The keys in {folder} cannot be set aside: {error.strerror or error}",
            f"Delete them yourself: rm {folder / FILE_NAME}*",
        ) from error


def put_back(folder: Path, device_id: str) -> bool:
    """Brings back what was set aside of this device, unless there are other keys in use. Whether there was any. What
    remains is an empty folder that tells when it was set aside. Raises StateError."""
    aside = _find(folder, device_id)
    if aside is None or (folder / FILE_NAME).exists() or not (aside / FILE_NAME).exists():
        return False
    try:
        _move(aside, folder)
    except FileNotFoundError:
        return False  # another process found that their day is over
    except OSError as error:
        raise StateError(
            f"The keys in {aside} cannot be put back: {error.strerror or error}",
            f"Move what is in there to {folder} yourself.",
        ) from error
    return True


def destroy_outdated(state_root: Path, now_ms: int) -> int:
    """Deletes what was set aside a day ago or longer, of every account. How many devices' keys. Raises StateError."""
    count = 0
    for aside, since_ms, _ in _all_aside(state_root.glob("*/signed-out-*")):
        # Either way: a clock that was wrong must not keep them for years.
        if abs(now_ms - since_ms) < KEPT_MS:
            continue
        count += (aside / FILE_NAME).exists()
        _remove(aside)
    return count


def _move(source: Path, target: Path) -> None:
    for suffix in _SUFFIXES:
        file = source / f"{FILE_NAME}{suffix}"
        # The journal's files need not be there; without the database the move is an error.
        if suffix == "" or file.exists():
            file.replace(target / file.name)


def _remove(aside: Path) -> None:
    destroy(aside)
    try:
        aside.rmdir()
    except FileNotFoundError:
        return  # another process has removed it, too
    except OSError as error:
        raise StateError(
            f"{aside} cannot be deleted: {error.strerror or error}", f"Delete it yourself: rm -r {aside}"
        ) from error


def _delete(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(
            f"{file} cannot be deleted: {error.strerror or error}", f"Delete it yourself: rm {file}"
        ) from error


def _find(folder: Path, device_id: str) -> Path | None:
    """The newest folder of this device's, if there is one."""
    mine = _digest(device_id)
    found = [(since_ms, aside) for aside, since_ms, whose in _all_aside(folder.iterdir()) if whose == mine]
    return max(found)[1] if found else None


def _all_aside(files: Iterator[Path]) -> Iterator[tuple[Path, int, str]]:
    for file in files:
        # No symbolic link: what it leads to would be deleted in a day.
        if (match := _ASIDE.fullmatch(file.name)) is not None and file.is_dir() and not file.is_symlink():
            yield file, int(match[1]), match[2]


def _digest(device_id: str) -> str:
    """Device ids are the homeserver's, and may hold anything."""
    return hashlib.sha256(device_id.encode(errors="replace")).hexdigest()[:16]
