"""The daemon's side: an object on the session bus that answers what is asked. Without a bus, nobody asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError
from dbus_fast.service import ServiceInterface, method

from heliograph.control import BUS_NAME, INTERFACE, OBJECT_PATH
from heliograph.session_bus import session_bus_address

log = logging.getLogger(__name__)

_CONNECT_S = 5.0
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 60.0
_CONNECT_ERRORS = (OSError, EOFError, ValueError, TimeoutError, DBusFastError)


class Daemon1(ServiceInterface):
    """What is exported; another version of it gets another name."""

    def __init__(self, status: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(INTERFACE)
        self._status = status

    @method()
    async def Status(self) -> "s":  # type: ignore[name-defined]  # noqa: N802, F821, UP037
        return json.dumps(await self._status())


class Control:
    """Keeps the object on the bus for as long as there is one. `status` is asked each time, and gives JSON.

    A second daemon of the same user leaves the name to the first, and takes it over when that one ends.
    """

    def __init__(self, status: Callable[[], Awaitable[Any]], *, bus_address: str | None = None) -> None:
        self._status = status
        self._bus_address = bus_address
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns after the first attempt, whether it came to something or not; others follow behind."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="control")
        await self._tried.wait()

    async def stop(self) -> None:
        """Off the bus, for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        delay = _FIRST_DELAY_S
        try:
            while True:
                try:
                    await self._serve()
                    delay = _FIRST_DELAY_S
                except _CONNECT_ERRORS as error:
                    log.debug("No session bus for the control interface: %s", str(error) or type(error).__name__)
                    delay = min(2 * delay, _LONGEST_DELAY_S)
                self._tried.set()
                await asyncio.sleep(delay)
        finally:
            self._tried.set()

    async def _serve(self) -> None:
        """Returns when the connection is gone."""
        address = self._bus_address or session_bus_address()
        if address is None:
            raise OSError("there is none")
        async with asyncio.timeout(_CONNECT_S):
            bus = await MessageBus(bus_address=address).connect()
        gone = asyncio.create_task(_disconnected(bus))
        try:
            bus.export(OBJECT_PATH, Daemon1(self._status))
            released = asyncio.Event()
            async with asyncio.timeout(_CONNECT_S):
                await _watch_name(bus, released)
                await _take_name(bus)
            self._tried.set()
            while not gone.done():
                waiting = asyncio.create_task(released.wait())
                await asyncio.wait([gone, waiting], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if released.is_set():
                    released.clear()
                    async with asyncio.timeout(_CONNECT_S):
                        await _take_name(bus)
        finally:
            bus.disconnect()
            await asyncio.wait([gone], timeout=_CONNECT_S)


async def _take_name(bus: MessageBus) -> None:
    reply = await bus.request_name(BUS_NAME, NameFlag.DO_NOT_QUEUE)
    if reply is RequestNameReply.EXISTS:
        log.info("Another Heliograph of yours answers `heliograph status`")


async def _watch_name(bus: MessageBus, released: asyncio.Event) -> None:
    def listen(message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.message_type is MessageType.SIGNAL:
            name, _, owner = message.body
            if name == BUS_NAME and not owner:
                released.set()

    bus.add_message_handler(listen)
    rule = f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{BUS_NAME}'"
    await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="AddMatch",
            signature="s",
            body=[rule],
        )
    )


async def _disconnected(bus: MessageBus) -> None:
    with contextlib.suppress(OSError, EOFError):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
