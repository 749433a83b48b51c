"""Ports of loopback that no two tests are given at once, though tests run beside one another."""

from __future__ import annotations

import os
import socket
import weakref

from heliograph.demo.homeserver import free_port


def reserve_port(holder: object) -> int:
    """A TCP port of 127.0.0.1 that nobody else is given for as long as the holder lives. Raises UserError.

    A socket has it that never listens. Connections are refused until a server listens there, which one with
    SO_REUSEADDR may, again and again.
    """
    while True:
        port = free_port()
        place = socket.socket()
        try:
            place.bind(("127.0.0.1", port))
        except OSError:  # another was quicker
            place.close()
            continue
        # Only afterwards: two that both had it before would both get the port.
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        weakref.finalize(holder, os.close, place.detach())
        return port
