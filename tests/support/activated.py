"""Starts a program with a listening socket, as systemd does with the socket unit of a service (sd_listen_fds(3))."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_SCRIPT = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3)\n"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
)


def activated(descriptor: int, command: Sequence[str]) -> list[str]:
    """The command to start instead, with `descriptor` among its `pass_fds`. The first word of `command` is a path."""
    return [sys.executable, "-c", _SCRIPT, str(descriptor), *command]
