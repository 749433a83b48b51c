"""Lets connections in, as many as there is room for, and none that stays for nothing.

Every long-poll of every client of the homeserver holds two descriptors here. When they run out, nobody new is let in
until somebody leaves, and whoever is in goes on. asyncio's own server would try again at once, and log each time.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from heliograph.core.value_type import value_type
from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.limits import group_of
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

FIRST_REQUEST_S = 30.0
"""How long a connection may take to send its first request."""
MOST_OF_ADDRESS = 2_048
"""Connections of one address, an IPv6 /64 counting as one: many clients may share it. Trusted proxies have as many as
there are."""
READ_AT_ONCE = 32 * 1024
"""Bytes. What a client sends waits in the kernel until it is wanted: with asyncio's 256 KiB, some thousand connections
that send half a request fill the memory."""
IDLE_S = 1.0
PAUSE_S = 1.0
ACCEPTED_AT_ONCE = 64
QUIET_S = 60.0
"""For how long there has to be room before it is said again that there is none."""
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@value_type
class DoorBounds:
    """`most`: connections in all. `idle_s`: how long one has nothing to do before it makes room for another."""

    most: int
    most_of_address: int = MOST_OF_ADDRESS
    first_request_s: float = FIRST_REQUEST_S
    idle_s: float = IDLE_S

    @classmethod
    def for_descriptors(cls, limit: int) -> DoorBounds:
        """The bounds of a process that may have `limit` files and sockets open: two for each connection, and some for
        the database, push gateways and the relay's own questions."""
        return cls(max((limit - min(limit // 4, 512)) // 2, 1))


class _Guest(asyncio.Protocol):
    """One connection: passes everything on to `inner`, aiohttp's protocol, and tells the door when it ends."""

    def __init__(self, door: Door, inner: web.RequestHandler, address: str | None) -> None:
        self._door = door
        self._inner = inner
        self.address = address
        self.transport: asyncio.Transport | None = None
        self.requests = 0
        """Requests that are being answered."""
        self.idle_from: float | None = None
        """Since when the last answer is there, in s of the loop's clock; None: it never asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # asyncio's socket transports have no public name for what they read at once.
        if hasattr(transport, "max_size"):
            transport.max_size = READ_AT_ONCE
        self._door.let_in(self, transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.let_out(self)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> None:
        self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class Door:
    """Accepts connections for an HTTP server. `greet` is a middleware of the application behind it."""

    def __init__(self, proxies: Proxies, bounds: DoorBounds) -> None:
        self._proxies = proxies
        self._bounds = bounds
        self._listeners: list[socket.socket] = []
        self._server: web.Server | None = None
        self._is_paused = False
        self._guests: dict[asyncio.BaseTransport, _Guest] = {}
        self._of_address: Counter[str] = Counter()
        self._entering = 0
        self._quiet_until = 0.0
        self._crowd_until = 0.0

    def open(self, listeners: Sequence[socket.socket], server: web.Server) -> None:
        """Accepts connections at these listening sockets until `close`, which closes them."""
        for listener in listeners:
            listener.setblocking(False)
        self._listeners, self._server = list(listeners), server
        self._go_on()

    def close(self) -> None:
        """Lets nobody in any more. Whoever is in stays. A second call does nothing."""
        self._pause()
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def _go_on(self) -> None:
        self._is_paused = False
        for listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _pause(self) -> None:
        self._is_paused = True
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        # So many at once: accepting is fast, and whoever is in wants to be answered meanwhile.
        for _ in range(ACCEPTED_AT_ONCE):
            if len(self._guests) + self._entering >= self._bounds.most:
                self._wait_for_room()
                return
            try:
                guest, address = listener.accept()
            except OSError as error:
                # Any other error is that of a client which is gone already, or there is nobody more.
                if error.errno in _FULL:
                    self._wait_for_room()
                return
            self._admit(guest, address)

    def _wait_for_room(self) -> None:
        self._note_full()
        self._show_out_idle()
        self._pause()
        asyncio.get_running_loop().call_later(PAUSE_S, self._try_again)

    def _try_again(self) -> None:
        if self._is_paused and self._listeners:
            self._go_on()

    @web.middleware
    async def greet(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Notes that a connection has asked for something, and when it has its answer."""
        guest = self._guests.get(request.transport) if request.transport is not None else None
        if guest is None:
            return await handler(request)
        guest.requests += 1
        try:
            return await handler(request)
        finally:
            guest.requests -= 1
            guest.idle_from = asyncio.get_running_loop().time()
            # Who has asked last is the last to be shown out.
            if (transport := guest.transport) in self._guests:
                self._guests[transport] = self._guests.pop(transport)

    def let_in(self, guest: _Guest, transport: asyncio.Transport) -> None:
        self._guests[transport] = guest
        asyncio.get_running_loop().call_later(self._bounds.first_request_s, self._show_out_silent, guest)

    def let_out(self, guest: _Guest) -> None:
        assert guest.transport is not None
        self._guests.pop(guest.transport, None)
        if guest.address is not None:
            self._leave_address(guest.address)
        self._try_again()

    def _admit(self, guest: socket.socket, address: object) -> None:
        group: str | None = None
        # Whoever comes by a socket in the file system is of this machine, and has no address.
        if isinstance(address, tuple) and not self._proxies.are_trusted(address[0]):
            group = group_of(address[0])
            if self._of_address[group] >= self._bounds.most_of_address:
                self._note_crowd(group)
                guest.close()
                return
            self._of_address[group] += 1
        guest.setblocking(False)
        self._entering += 1
        start_beside(self._connect(guest, group), name="a connection")

    async def _connect(self, guest: socket.socket, group: str | None) -> None:
        assert self._server is not None
        protocol = _Guest(self, self._server(), group)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, guest)
        finally:
            self._entering -= 1
            if protocol.transport is None:
                guest.close()
                if group is not None:
                    self._leave_address(group)

    def _note_full(self) -> None:
        # Once, until there was room for a while: whoever fills the relay must not fill its log, too.
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            log.warning(
                "There is no room for more than these %d connections: new ones wait until others end (LimitNOFILE= in "
                "the unit, or ulimit -n)",
                len(self._guests) + self._entering,
            )
        self._quiet_until = now + QUIET_S

    def _note_crowd(self, group: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._crowd_until:
            log.warning(
                "%s has %d connections, and gets no more. If that is a reverse proxy, name it in `trusted_proxies`",
                group,
                self._bounds.most_of_address,
            )
            self._crowd_until = now + QUIET_S

    def _show_out_idle(self) -> None:
        """Ends the connection that had nothing to do for longest."""
        # Its last answer may not be written yet.
        latest = asyncio.get_running_loop().time() - self._bounds.idle_s
        for guest in self._guests.values():
            if guest.transport is not None and not guest.requests and (guest.idle_from or latest + 1) <= latest:
                guest.transport.close()
                return

    def _show_out_silent(self, guest: _Guest) -> None:
        if guest.idle_from is None and not guest.requests and guest.transport is not None:
            guest.transport.abort()

    def _leave_address(self, group: str) -> None:
        self._of_address[group] -= 1
        if not self._of_address[group]:
            del self._of_address[group]
