"""Shares one connection to a message bus among several listeners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dbus_fast import Message, MessageType

from heliograph.system.dbus import Bus


class BusPart(Protocol):
    """One listener. It hears signals that passed match rules, never one that somebody sent to us alone."""

    @property
    def matches(self) -> Sequence[str]:
        """The match rules of the signals it wants; each names a sender."""
        ...

    async def meet(self, bus: Bus) -> None:
        """Called for each new connection. Raises nothing but BusGone."""
        ...

    def hear(self, signal: Message) -> None:
        """Called for each signal, also for those that another listener asked for."""
        ...

    def part(self) -> None:
        """Called when the connection is gone."""
        ...


class SharedBus:
    """One connection, kept from `start` to `stop`."""

    def __init__(
        self,
        address: str,
        parts: Sequence[BusPart],
        *,
        longest_delay_s: float = 60.0,
        passes_files: bool = False,
        name: str = "bus",
    ) -> None:
        self._parts = parts
        self._bus = Bus(
            address,
            matches=[match for part in parts for match in part.matches],
            on_connected=self._meet,
            on_message=self._hear,
            on_lost=self._part,
            longest_delay_s=longest_delay_s,
            passes_files=passes_files,
            name=name,
        )

    @property
    def address(self) -> str | None:
        """Our unique name on the bus; None while there is no connection."""
        return self._bus.unique_name

    async def start(self) -> bool:
        """Returns after the first attempt whether there is such a bus; it is looked for until `stop` in any case."""
        return await self._bus.start()

    async def stop(self) -> None:
        """Lets go of the bus; no listener is called any more."""
        await self._bus.stop()

    async def _meet(self) -> None:
        for part in self._parts:
            await part.meet(self._bus)

    def _hear(self, message: Message) -> None:
        # What is sent to everyone passed the match rules, which name the sender. Anyone could send to us alone.
        if message.message_type is not MessageType.SIGNAL or message.destination:
            return
        for part in self._parts:
            part.hear(message)

    def _part(self) -> None:
        for part in self._parts:
            part.part()
