"""The asking side, for commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from heliograph.control import BUS_NAME, INTERFACE, OBJECT_PATH
from heliograph.session_bus import session_bus_address

_TIMEOUT_S = 3.0
_MAX_ANSWER = 1024 * 1024


async def ask_status(bus_address: str | None = None) -> dict[str, Any] | None:
    """What the running daemon says of itself. None: there is no bus, no daemon on it, or no sane answer in time."""
    address = bus_address or session_bus_address()
    if address is None:
        return None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reply = await _ask(address)
    except (OSError, EOFError, ValueError, TimeoutError, DBusFastError):
        return None
    if reply is None or reply.message_type is not MessageType.METHOD_RETURN or reply.signature != "s":
        return None
    with contextlib.suppress(ValueError, RecursionError):
        status = json.loads(reply.body[0][:_MAX_ANSWER])
        return status if isinstance(status, dict) else None
    return None


async def _ask(address: str) -> Message | None:
    bus = await MessageBus(bus_address=address).connect()
    gone = asyncio.create_task(_disconnected(bus))
    try:
        return await bus.call(
            Message(
                destination=BUS_NAME,
                path=OBJECT_PATH,
                interface=INTERFACE,
                member="Status",
                flags=MessageFlag.NO_AUTOSTART,
            )
        )
    finally:
        bus.disconnect()
        await asyncio.wait([gone], timeout=_TIMEOUT_S)


async def _disconnected(bus: MessageBus) -> None:
    with contextlib.suppress(OSError, EOFError):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
