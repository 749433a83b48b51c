"""Forbids core dumps: a crash would leave tokens, keys and message bodies in a file."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4  # prctl(2)


def forbid_core_dumps() -> None:
    """Has a crash of this process write no core, and keeps the user's other processes from attaching to it. Raises
    OSError.

    The resource limit alone is not enough: the kernel ignores it where a program takes the cores (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # The sandbox of the relay's unit forbids this call, and has set the limit itself.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
