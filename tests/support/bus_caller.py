"""A program on a bus that calls one service by its name, and hears what that tells."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

_DRIVER = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
ANSWER_S = 60.0


@dataclass(frozen=True)
class Refusal:
    """How a call was refused: the name of a D-Bus error."""

    name: str


Outcome = list[Any] | Refusal
"""What a call was answered with."""


class BusCaller:
    """Between `start` and `stop` it may call, and `heard` are the signals of `interfaces`: their members and bodies."""

    def __init__(self, address: str, name: str, path: str, *interfaces: str) -> None:
        self._address, self._name, self._path, self._interfaces = address, name, path, interfaces
        self._bus: MessageBus | None = None
        self.heard: list[tuple[str, list[Any]]] = []
        self.files: list[int] = []
        """Descriptors that came with the last answer."""

    async def start(self) -> None:
        self._bus = await MessageBus(bus_address=self._address, negotiate_unix_fd=True).connect()
        self._bus.add_message_handler(self._hear)
        for interface in self._interfaces:
            rule = f"type='signal',interface='{interface}'"
            destination, path, driver = _DRIVER
            question = Message(
                destination=destination, path=path, interface=driver, member="AddMatch", signature="s", body=[rule]
            )
            await self._bus.call(question)

    async def stop(self) -> None:
        """Whoever is on the bus learns that this program is gone."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            with contextlib.suppress(EOFError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def call(
        self, member: str, signature: str = "", *body: Any, path: str | None = None, interface: str | None = None
    ) -> Outcome:
        """At the first of `interfaces`, unless another is named. Raises TimeoutError."""
        assert self._bus is not None
        message = Message(
            destination=self._name,
            path=path or self._path,
            interface=interface or self._interfaces[0],
            member=member,
            signature=signature,
            body=list(body),
        )
        async with asyncio.timeout(ANSWER_S):
            reply = await self._bus.call(message)
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            return Refusal(str(reply.error_name))
        self.files = list(reply.unix_fds)
        return reply.body

    def take(self) -> list[tuple[str, list[Any]]]:
        """What was heard since the last time."""
        heard, self.heard = self.heard, []
        return heard

    def _hear(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.interface in self._interfaces:
            self.heard.append((str(message.member), message.body))
