"""The relay's listening sockets: its own, or those that systemd keeps open while the relay restarts."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from aiohttp import web

from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.relay.config import split_address

BACKLOG = 4096
"""Connections that may wait to be accepted: after a restart all clients come at once."""


async def listen(runner: web.AppRunner, setting: str, address: str, given: Sequence[socket.socket] = ()) -> None:
    """Serves at `address`, the value of `setting`, by the given sockets if there are any. Raises UserError."""
    if given:
        _check(given, setting, address)
        for each in given:
            await web.SockSite(runner, each, backlog=BACKLOG).start()
        return
    host, port = split_address(address)
    try:
        await web.TCPSite(runner, host or None, port, backlog=BACKLOG, reuse_address=True).start()
    except OSError as error:
        raise UserError(
            f"The relay cannot listen at {address}: {error.strerror or error}",
            f"Choose another address for `{setting}`, or stop what has it: ss -ltnp",
            exit_code=EXIT_CONFIG,
        ) from error


async def stop_listening(runner: web.AppRunner) -> None:
    """Takes no new connections. Those to a socket of systemd's wait for the next process."""
    for site in list(runner.sites):
        await site.stop()


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
