"""Listening sockets that systemd passes to the process (sd_listen_fds(3)): connections wait there while it restarts."""

from __future__ import annotations

import os
import socket

_FIRST = 3
"""The first file descriptor behind those of standard input and output."""


def take_sockets() -> list[socket.socket]:
    """The sockets of this process's socket unit; empty without one. A second call finds none."""
    try:
        is_ours = int(os.environ.pop("LISTEN_PID", "")) == os.getpid()
        number = int(os.environ.pop("LISTEN_FDS", ""))
    except ValueError:
        return []
    os.environ.pop("LISTEN_FDNAMES", None)
    if not is_ours:
        # The variables are inherited: a program that the meant process started is not the one meant.
        return []
    return [_take(descriptor) for descriptor in range(_FIRST, _FIRST + number)]


def _take(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    taken = socket.socket(fileno=descriptor)
    taken.setblocking(False)
    return taken
