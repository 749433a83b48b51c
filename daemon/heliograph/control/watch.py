"""Follows the properties of the running daemon by its signals. Nothing here polls.

Test: test_a_watcher_hears_of_start_change_and_end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from dbus_fast import Message, MessageType, Variant

from heliograph.control import BUS_NAME, INTERFACE, OBJECT_PATH
from heliograph.control.properties import from_properties
from heliograph.core.summary.summary import Summary
from heliograph.system.dbus import DRIVER, DRIVER_PATH, Bus, BusGone, CallFailed
from heliograph.system.tasks import start_beside

_PROPERTIES = "org.freedesktop.DBus.Properties"
_MATCHES = (
    f"type='signal',sender='{BUS_NAME}',interface='{_PROPERTIES}',path='{OBJECT_PATH}',member='PropertiesChanged'",
    f"type='signal',sender='{DRIVER}',interface='{DRIVER}',path='{DRIVER_PATH}',"
    f"member='NameOwnerChanged',arg0='{BUS_NAME}'",
)
_LONGEST_DELAY_S = 10.0


class Watch:
    """Calls `listener` with each new summary of the daemon, and with None when no daemon answers any more. Survives
    restarts of the daemon and of the bus.
    """

    def __init__(self, address: str, listener: Callable[[Summary | None], None]) -> None:
        self._listener = listener
        self._bus = Bus(
            address,
            matches=_MATCHES,
            on_connected=self._meet,
            on_message=self._hear,
            on_lost=self._part,
            longest_delay_s=_LONGEST_DELAY_S,
        )
        self._owner = ""
        self._values: dict[str, Any] | None = None
        """All properties; None until the daemon has answered."""
        self._heard: dict[str, Any] = {}
        """Changes that were signalled while the answer was under way. They are newer than the answer."""
        self._asking: asyncio.Task[object] | None = None

    @property
    def is_connected(self) -> bool:
        """True while there is a connection to the bus."""
        return self._bus.is_connected

    async def start(self) -> None:
        """Returns after the first attempt to connect. The listener may have been called by then, or not."""
        await self._bus.start()

    async def stop(self) -> None:
        """Ends the watching. The listener is not called afterwards."""
        await self._bus.stop()
        if self._asking is not None:
            self._asking.cancel()

    async def _meet(self) -> None:
        try:
            owner = str(await self._bus.call_driver("GetNameOwner", "s", [BUS_NAME]))
        except CallFailed:
            owner = ""
        # A signal that came meanwhile is newer than this answer.
        if not self._owner:
            self._change_owner(owner)

    def _part(self) -> None:
        self._change_owner("")

    def _change_owner(self, owner: str) -> None:
        self._owner = owner
        self._values, self._heard = None, {}
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if owner:
            self._asking = start_beside(self._ask(owner), name="asking the daemon")
        else:
            self._listener(None)

    async def _ask(self, owner: str) -> None:
        with contextlib.suppress(TimeoutError, BusGone, CallFailed):
            async with asyncio.timeout(5):
                reply = await self._bus.call(owner, OBJECT_PATH, _PROPERTIES, "GetAll", "s", [INTERFACE])
            if reply.signature == "a{sv}" and owner == self._owner:
                # In this order: what was signalled while the answer was under way is newer.
                self._values = _plain(reply.body[0]) | self._heard
                self._listener(from_properties(self._values))
                return
        # A daemon that does not answer counts as none, until it signals a change.
        if owner == self._owner:
            self._listener(None)

    def _hear(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == DRIVER:
            if message.member == "NameOwnerChanged" and message.signature == "sss" and message.body[0] == BUS_NAME:
                self._change_owner(message.body[2])
        elif message.sender == self._owner and message.signature == "sa{sv}as" and message.body[0] == INTERFACE:
            self._take(_plain(message.body[1]))

    def _take(self, changed: dict[str, Any]) -> None:
        if self._values is None:
            self._heard |= changed
            return
        self._values |= changed
        self._listener(from_properties(self._values))


def _plain(properties: dict[str, Variant]) -> dict[str, Any]:
    return {name: value.value for name, value in properties.items()}
