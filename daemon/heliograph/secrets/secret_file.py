"""Keeps the secret in a file that only its owner can read. The text in it is plain: as safe as the disk below."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from heliograph.accounts import write_private_file
from heliograph.errors import EXIT_CONFIG, StateError, UserError

_NAME = "secret.json"
_MAX_SECRET = 64 * 1024


class SecretFile:
    """Keeps `secret.json` in the folder that `folder_of` names for a user id. Each method raises UserError if the file
    cannot be used, and `load` also if others may read the file: its secret is no longer one."""

    name = "file"

    def __init__(self, folder_of: Callable[[str], Path]) -> None:
        self._folder_of = folder_of

    async def load(self, user_id: str) -> str | None:
        return await asyncio.to_thread(_read, self._folder_of(user_id) / _NAME)

    async def wait_unlocked(self, user_id: str) -> None:
        """Returns at once: a file has no lock."""

    async def save(self, user_id: str, secret: str) -> None:
        await asyncio.to_thread(write_private_file, self._folder_of(user_id) / _NAME, secret.encode())

    async def delete(self, user_id: str) -> None:
        await asyncio.to_thread(_remove, self._folder_of(user_id) / _NAME)


def _read(file: Path) -> str | None:
    try:
        # O_NONBLOCK: opening a FIFO in place of the file would wait for its writer. O_NOFOLLOW: a link could lead to
        # any other file.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(file, "is a symbolic link") from None
        raise _unreadable(file, str(error.strerror)) from error
    try:
        # On the open file and not on its name, which may name another file by now.
        _check(file, os.fstat(descriptor))
        return os.read(descriptor, _MAX_SECRET).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, str(error)) from error
    finally:
        os.close(descriptor)


def _check(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _unsafe(file, "is not a regular file")
    if status.st_uid != os.geteuid():
        raise _unsafe(file, "belongs to somebody else")
    if status.st_mode & 0o077:
        raise _unsafe(file, f"may be read by others (mode {stat.S_IMODE(status.st_mode):04o})")


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from error


def _unsafe(file: Path, what: str) -> UserError:
    return UserError(
        f"{file} {what}, so the access token in it may be known to others.",
        f"If nobody else had it: make it yours with `chmod 600 {file}`. Otherwise log out and in again.",
        exit_code=EXIT_CONFIG,
    )


def _unreadable(file: Path, why: str) -> StateError:
    return StateError(f"{file} cannot be used: {why}.", "Make sure that it is yours and that its folder is, too.")
