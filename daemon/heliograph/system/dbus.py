"""Keeps a connection to a D-Bus message bus, and connects again when the bus dies. While connected, nothing here wakes
up on its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError
from dbus_fast.service import ServiceInterface

from heliograph.system.tasks import keep_running, look_at, start

log = logging.getLogger(__name__)

DRIVER = "org.freedesktop.DBus"
DRIVER_PATH = "/org/freedesktop/DBus"

CALL_TIMEOUT_S = 5.0
"""A call without this limit waits for ever in dbus-fast; mate-notification-daemon was seen not to answer at all."""
_FIRST_DELAY_S = 1.0

_CONNECT_ERRORS = (OSError, EOFError, ValueError, TimeoutError, DBusFastError)


def no_objects() -> Mapping[str, ServiceInterface]:
    """For a connection on which nothing is to be called."""
    return {}


class BusGone(Exception):
    """There is no connection to the bus, or it was lost before the answer came."""


class CallFailed(Exception):
    """The answer was an error; `name` is its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}" if text else name)
        self.name = name


def system_bus_address() -> str:
    """The address of the system bus. Whether anything listens there is not checked."""
    return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/run/dbus/system_bus_socket"


class QuietBus(MessageBus):
    """A MessageBus without two faults of dbus-fast 5.2.

    If a write fails because the bus just died, dbus-fast raises an error about a closed descriptor, and drops the
    futures of the write and of the call, which asyncio logs as faults. Here only the call fails.

    If the socket is full because much was sent at once, dbus-fast ends the connection. Here the write waits.
    """

    async def connect(self) -> MessageBus:
        await super().connect()
        if self._writer is not None and self._sock is not None:
            self._writer.sock = _PatientSocket(self._sock)  # type: ignore[assignment]
        return self

    def send(self, msg: Message) -> asyncio.Future[None]:  # type: ignore[override]
        if not msg.serial:
            msg.serial = self.next_serial()
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(look_at)
        assert self._writer is not None
        with contextlib.suppress(OSError):
            self._writer.schedule_write(msg, sent)
        return sent


class _PatientSocket:
    """Wraps a socket that does not block: if it is full, `send` tells that 0 bytes went out instead of raising, and the
    writer tries again as after any write in part."""

    def __init__(self, patient: socket.socket) -> None:
        self._socket = patient

    def send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class Bus:
    """Keeps a connection to the bus at `address`, and reports on it: `on_connected` (which may make calls),
    `on_message` for each message, `on_lost`.

    The match rules `matches` are subscribed to before `on_connected` runs. If the subscription or `on_connected` fails,
    or takes longer than `timeout_s` seconds, the connection counts as lost and is made again, after at most
    `longest_delay_s` seconds. With `passes_files`, answers may carry file descriptors. `objects` makes what others can
    call over one connection, by path; they can before `on_connected` runs. `heliograph status` shows the connection
    under `name`.
    """

    def __init__(
        self,
        address: str,
        *,
        matches: Sequence[str],
        on_connected: Callable[[], Awaitable[None]] | None = None,
        on_message: Callable[[Message], None],
        on_lost: Callable[[], None] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        longest_delay_s: float = 60.0,
        passes_files: bool = False,
        objects: Callable[[], Mapping[str, ServiceInterface]] = no_objects,
        name: str = "bus",
    ) -> None:
        self._address = address
        self._matches = matches
        self._on_connected = on_connected
        self._on_message = on_message
        self._on_lost = on_lost
        self._timeout_s = timeout_s
        self._longest_delay_s = longest_delay_s
        self._passes_files = passes_files
        self._objects = objects
        self._name = name
        self._bus: MessageBus | None = None
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """True while a call can be made."""
        return self._bus is not None and self._bus.connected

    @property
    def unique_name(self) -> str | None:
        """Our name on the bus while connected."""
        return self._bus.unique_name if self._bus is not None and self._bus.connected else None

    async def start(self) -> bool:
        """Tries to connect once, and returns whether that worked. Further attempts follow in the background."""
        if self._task is None:
            self._task = start(self._keep(), name=self._name)
        await self._tried.wait()
        return self.is_connected

    async def stop(self) -> None:
        """Disconnects for good."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        serial: int = 0,
    ) -> Message:
        """Calls a method and returns the answer. Raises BusGone or CallFailed. The caller sets a time-out."""
        bus = self._bus
        if bus is None or not bus.connected:
            raise BusGone("not connected to the bus")
        request = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            serial=serial,
        )
        try:
            reply = await bus.call(request)
        except (EOFError, OSError) as error:
            raise BusGone("the connection to the bus was lost") from error
        if reply is None:
            raise BusGone("the connection to the bus was closed")
        if reply.message_type is MessageType.ERROR:
            text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise CallFailed(str(reply.error_name), text[:200])
        return reply

    async def call_driver(self, member: str, signature: str = "", body: Sequence[Any] = ()) -> Any:
        """Calls a method of the bus itself, and returns the first value of the answer. Raises as `call` does."""
        reply = await self.call(DRIVER, DRIVER_PATH, DRIVER, member, signature, body)
        return reply.body[0] if reply.body else None

    def send(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: Sequence[Any]
    ) -> None:
        """Makes a call without waiting for an answer. Without a connection, nothing is sent."""
        if self._bus is None or not self._bus.connected:
            return
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=MessageFlag.NO_REPLY_EXPECTED,
        )
        self._bus.send(message)

    def next_serial(self) -> int:
        """A serial number for `call`, by which `on_message` can recognise an answer that comes after the caller gave
        up. Raises BusGone."""
        if self._bus is None:
            raise BusGone("not connected to the bus")
        return self._bus.next_serial()

    async def _keep(self) -> None:
        try:
            await keep_running(self._name, self._connect_again)
        finally:
            self._tried.set()

    async def _connect_again(self) -> None:
        failures = 0
        while True:
            try:
                gone = await self._connect()
            except (*_CONNECT_ERRORS, BusGone, CallFailed) as error:
                failures += 1
                log.debug("No connection to the bus at %s: %s", self._address, repr(error))
            else:
                failures = 0
                self._tried.set()
                await self._outlive(gone)
            finally:
                # Also after a fault of our own: `start` waits for the first attempt, and for no more.
                self._tried.set()
            delay = min(_FIRST_DELAY_S * 2.0 ** min(failures, 16), self._longest_delay_s)
            await asyncio.sleep(delay * (0.75 + random.random() / 2))

    async def _connect(self) -> asyncio.Task[None]:
        """Connects, and returns a task that ends when the connection does."""
        async with asyncio.timeout(self._timeout_s):
            self._bus = await QuietBus(bus_address=self._address, negotiate_unix_fd=self._passes_files).connect()
        self._bus.add_message_handler(self._pass_on)
        for path, interface in self._objects().items():
            self._bus.export(path, interface)
        gone = start(_wait_for_end(self._bus), name="end of a bus connection")
        gone.add_done_callback(look_at)
        try:
            async with asyncio.timeout(self._timeout_s):
                # Before `on_connected` asks: what changes after its answer is then heard.
                for match in self._matches:
                    await self.call_driver("AddMatch", "s", [match])
                if self._on_connected is not None:
                    await self._on_connected()
        except BaseException:
            await self._disconnect(gone)
            raise
        return gone

    async def _outlive(self, gone: asyncio.Task[None]) -> None:
        try:
            await asyncio.wait([gone])
            log.debug("The bus at %s went away", self._address)
        finally:
            await self._disconnect(gone)

    async def _disconnect(self, gone: asyncio.Task[None]) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
        await asyncio.wait([gone], timeout=_FIRST_DELAY_S)
        gone.cancel()
        if self._on_lost is not None:
            self._on_lost()

    def _pass_on(self, message: Message) -> None:
        # Returns nothing: dbus-fast sends what a handler returns, or raises, as the answer to the message.
        self._on_message(message)


@contextlib.contextmanager
def dying_bus() -> Iterator[None]:
    """Suppresses the RuntimeError of dbus-fast if a signal cannot be written: it then takes the interface off the bus
    while it iterates over the interface's buses."""
    try:
        yield
    except RuntimeError as error:
        log.debug("A signal was not sent, since the bus is gone: %s", error)


async def _wait_for_end(bus: MessageBus) -> None:
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
