"""The relay's listening sockets: its own, or those that systemd keeps open while the relay restarts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.relay.config import split_address

BACKLOG = 4096
"""Connections that may wait to be accepted: after a restart all clients come at once."""


async def listen_at(address: str, setting: str = "listen", given: Sequence[socket.socket] = ()) -> list[socket.socket]:
    """Listening sockets for `address`, the value of `setting`: the given ones if there are any, else one for each
    address of the host. Raises UserError."""
    if given:
        _check(given, setting, address)
        for each in given:
            each.listen(BACKLOG)
        return list(given)
    host, port = split_address(address)
    listeners: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, place in dict.fromkeys(found):
            listeners.append(_listen(family, place))
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise UserError(
            f"The relay cannot listen at {address}: {error.strerror or error}",
            f"Choose another address for `{setting}`, or stop what has it: ss -ltnp",
            exit_code=EXIT_CONFIG,
        ) from error
    return listeners


def _listen(family: int, place: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Each address of its own: "::" would take the IPv4 port, too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _check(given: Sequence[socket.socket], setting: str, address: str) -> None:
    """Raises UserError if no socket is at the port by which the homeserver and `relay check` look for the relay."""
    internet = [each for each in given if each.family in (socket.AF_INET, socket.AF_INET6)]
    ports = {each.getsockname()[1] for each in internet}
    wanted = split_address(address)[1]
    if ports and wanted not in ports:
        told = ", ".join(map(str, sorted(ports)))
        raise UserError(
            f"systemd listens at port {told} for the relay, whose `{setting}` is {address}",
            f"Write the same port into both: `{setting}` in relay.toml, ListenStream= in heliograph-relay.socket",
            exit_code=EXIT_CONFIG,
        )
