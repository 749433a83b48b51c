"""Lets only one process at a time use an account, by a lock (flock(2)) on a file beside the ledger.

The kernel releases the lock when the process ends, however that ends, so none can be left behind.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple

from heliograph.errors import StateError
from heliograph.system.service_manager import to_stop

LOCK_NAME = "lock"
UNKNOWN_PID = 0
"""Stands for a holder of unknown process id, which has not written its own yet, or runs on another machine."""
_LEAVING = "leaving"
_TRIES = 3
_BETWEEN_TRIES_S = 0.05


class InUse(StateError):
    """Another process has the account. `is_leaving`: that process has said that it will soon release it."""

    def __init__(self, folder: Path, pid: int, *, is_leaving: bool) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"Heliograph already runs for the account in {folder} ({holder})", f"Stop that one first: {to_stop(pid)}"
        )
        self.pid = pid
        self.is_leaving = is_leaving


class AccountLock:
    """The lock of one account, held from `take` to `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, folder: Path) -> AccountLock:
        """Takes the lock; blocks for up to 0.1 s. Raises InUse if a process has the account, and StateError if the
        folder cannot be used."""
        path = folder / LOCK_NAME
        try:
            # Not inherited: a program that we start would hold the lock after our end.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            _lock(descriptor, path)
            _say(descriptor, is_leaving=False)
        except OSError as error:
            os.close(descriptor)
            raise _unusable(path, error) from error
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def say(self, *, is_leaving: bool) -> None:
        """Writes into the file whether this process is leaving, for which the next one waits. Raises OSError."""
        if self._descriptor is not None:
            _say(self._descriptor, is_leaving=is_leaving)

    def release(self) -> None:
        """Releases the lock. A second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(folder: Path) -> int | None:
    """The id of the process that has this account, UNKNOWN_PID if that is not known, or None if none has it."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Shared, so that two commands that ask at once do not take one another for a daemon.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor).pid
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
                holder = _holder(descriptor)
                raise InUse(path.parent, holder.pid, is_leaving=holder.is_leaving) from error
        else:
            return
        # `is_held` of another process takes the lock for a moment in order to ask.
        time.sleep(_BETWEEN_TRIES_S)


class _Holder(NamedTuple):
    pid: int = UNKNOWN_PID
    is_leaving: bool = False


def _say(descriptor: int, *, is_leaving: bool) -> None:
    # Not replaced: the lock is on this very file.
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {_LEAVING if is_leaving else ''}".rstrip().encode() + b"\n", 0)


def _holder(descriptor: int) -> _Holder:
    try:
        pid, _, rest = os.pread(descriptor, 64, 0).decode(errors="replace").partition(" ")
        return _Holder(int(pid), rest.strip() == _LEAVING)
    except (OSError, ValueError):
        return _Holder()


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path} cannot be written: {error.strerror or error}",
        f"Make {path.parent} a folder that you own and may write to.",
    )
