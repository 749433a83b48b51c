"""Lets one process at a time renew the tokens of an account, by a lock (flock(2)) on a file in the account's folder.

The kernel releases the lock when the process ends, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

from heliograph.errors import Unreachable

_LOOK_S = 0.05
"""How often the lock is tried while another process has it. A renewal takes far less than a second mostly."""


@contextlib.asynccontextmanager
async def hold_lock(file: Path, within_s: float) -> AsyncIterator[None]:
    """Holds the lock for the length of the block. Raises Unreachable if the lock cannot be had, or not within so many
    seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while (descriptor := _try_lock(file)) is None:
        if loop.time() >= end:
            raise Unreachable(f"another process has been renewing the access token for {within_s:.0f} s")
        await asyncio.sleep(_LOOK_S)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(file: Path) -> int | None:
    """The descriptor that has the lock, or None. In the event loop, since neither call waits: from a thread, a
    descriptor that comes after the caller was cancelled would keep the lock for good."""
    try:
        # Not inherited: a program that we start would hold the lock after our end.
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unreachable(f"{file} cannot be opened: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The folder was removed and made again meanwhile: this file is nobody's any more.
        is_held = os.fstat(descriptor).st_nlink > 0
    except OSError:
        is_held = False
    if is_held:
        return descriptor
    os.close(descriptor)
    return None
