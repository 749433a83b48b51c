"""One process for each account: a lock on a file beside the ledger, held as long as its holder lives.

The kernel lets go of it when the process ends, however it ends, so nothing stale can be left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from heliograph.errors import StateError

LOCK_NAME = "lock"
UNKNOWN_PID = 0
"""The account is in use by a process that has not said which, or that another machine runs."""
_TRIES = 3
_BETWEEN_TRIES_S = 0.05


class AccountLock:
    """Held from `take` to `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, folder: Path) -> AccountLock:
        """Blocks for a moment. Raises StateError if a process has the account, naming it, or the folder is unusable."""
        path = folder / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            _lock(descriptor, path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise _unusable(path, error) from error
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Once more is no error."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(folder: Path) -> int | None:
    """The pid of the process that has this account, UNKNOWN_PID if it cannot be told, or None if nobody has it."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int, path: Path) -> None:
    for tried in range(1, _TRIES + 1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if tried == _TRIES:
                raise _in_use(path, _holder(descriptor)) from error
        else:
            return
        # `is_held` may be asking at this very moment.
        time.sleep(_BETWEEN_TRIES_S)


def _holder(descriptor: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(os.pread(descriptor, 32, 0))
    return UNKNOWN_PID


def _in_use(path: Path, pid: int) -> StateError:
    holder = f"process {pid}" if pid else "another process"
    return StateError(
        f"Heliograph already runs for the account in {path.parent} ({holder})",
        f"Stop that one first: systemctl --user stop heliograph, or kill {pid}"
        if pid
        else "Stop that one first: systemctl --user stop heliograph",
    )


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path} cannot be written: {error.strerror or error}",
        f"Make {path.parent} a folder that you own and may write to.",
    )
