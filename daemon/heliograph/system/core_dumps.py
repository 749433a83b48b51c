"""Keeps tokens, keys and message bodies out of files that a crash would leave behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4  # prctl(2)


def forbid_core_dumps() -> None:
    """From now on a crash of this process writes no core, and the user's other processes cannot attach to it.

    The limit alone is not enough: a core that goes to a program (core(5)) is not held to it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # The relay's sandbox forbids this, and has set the limit itself.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
