"""Asks the running daemon over D-Bus, for commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from heliograph.control import BUS_NAME, ERROR, INTERFACE, NOBODY, OBJECT_PATH
from heliograph.errors import UserError
from heliograph.system.service_manager import to_restart, to_start
from heliograph.system.session_bus import session_bus_address
from heliograph.system.tasks import start

_TIMEOUT_S = 3.0
_ACTION_TIMEOUT_S = 60.0
"""How long a request may take with which the daemon may have to wait for the homeserver."""
OWN_TIMEOUT_S = 5.0
"""How long a request may take that the daemon can fulfil alone."""
_PROPERTIES = "org.freedesktop.DBus.Properties"
_MAX_ANSWER = 4 * 1024 * 1024


async def ask_status(bus_address: str | None = None) -> dict[str, Any] | None:
    """The status of the running daemon (docs/d-bus.md). None: there is no bus, no daemon on the bus, or no sane answer
    within 3 s."""
    status = _read_json(await _try_ask(bus_address, "Status", "", (), _TIMEOUT_S))
    return status if isinstance(status, dict) else None


async def ask_inbox(bus_address: str | None = None) -> dict[str, Any] | None:
    """The unread messages by room (docs/d-bus.md). None as with `ask_status`."""
    inbox = _read_json(await _try_ask(bus_address, "Inbox", "", (), _TIMEOUT_S))
    return inbox if isinstance(inbox, dict) else None


async def ask_property(name: str, bus_address: str | None = None) -> Any:
    """The value of a property of the running daemon. Raises UserError if there is no answer."""
    question = (INTERFACE, name)
    value = await _take(await _insist(bus_address, "Get", "ss", question, _TIMEOUT_S, _PROPERTIES))
    return value.value if isinstance(value, Variant) else None


async def ask(
    member: str,
    signature: str = "",
    *body: Any,
    bus_address: str | None = None,
    timeout_s: float = _ACTION_TIMEOUT_S,
) -> Any:
    """Calls a method of the running daemon, and returns the first value of the answer. Raises UserError if there is no
    answer or an error."""
    return await _take(await _insist(bus_address, member, signature, body, timeout_s))


async def _take(reply: Message) -> Any:
    if reply.message_type is MessageType.METHOD_RETURN:
        return reply.body[0] if reply.body else None
    text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
    if reply.error_name == ERROR:
        title, _, hint = text.partition("\n")
        raise UserError(title, hint or "heliograph status")
    if reply.error_name in NOBODY:
        raise UserError("Heliograph is not running.", await asyncio.to_thread(to_start))
    raise UserError(f"The running Heliograph did not do it: {text}", await asyncio.to_thread(to_restart))


async def _try_ask(
    bus_address: str | None,
    member: str,
    signature: str,
    body: Sequence[Any],
    timeout_s: float,
    interface: str = INTERFACE,
) -> Message | None:
    """The answer, which may be an error message. None: there is no bus, or no answer in time."""
    with contextlib.suppress(UserError):
        return await _insist(bus_address, member, signature, body, timeout_s, interface)
    return None


async def _insist(
    bus_address: str | None,
    member: str,
    signature: str,
    body: Sequence[Any],
    timeout_s: float,
    interface: str = INTERFACE,
) -> Message:
    """The answer, which may be an error message. Raises UserError if there is no answer."""
    address = bus_address or session_bus_address()
    if address is None:
        raise await _absent()
    try:
        async with asyncio.timeout(timeout_s):
            reply = await _ask(address, interface, member, signature, body)
    except TimeoutError:
        # The bus delivers the call even after we gave up, so the daemon may still do it.
        raise UserError(
            f"Heliograph runs, but did not answer within {timeout_s:g} s.",
            f"It may still do it, once it answers again. If it hangs: {await asyncio.to_thread(to_restart)}",
        ) from None
    except (OSError, EOFError, ValueError, DBusFastError):
        raise await _absent() from None
    if reply is None:
        raise await _absent()
    return reply


async def _absent() -> UserError:
    hint = await asyncio.to_thread(to_start)
    return UserError("Heliograph is not running, or there is no session bus to ask it over.", hint)


def _read_json(reply: Message | None) -> Any:
    if reply is None or reply.message_type is not MessageType.METHOD_RETURN or reply.signature != "s":
        return None
    with contextlib.suppress(ValueError, RecursionError):
        # Cut, it is no JSON any more: an answer beyond all measure counts as none.
        return json.loads(reply.body[0][:_MAX_ANSWER])
    return None


async def _ask(address: str, interface: str, member: str, signature: str, body: Sequence[Any]) -> Message | None:
    bus = await MessageBus(bus_address=address).connect()
    gone = start(_disconnected(bus), name="end of a bus connection")
    try:
        return await bus.call(
            Message(
                destination=BUS_NAME,
                path=OBJECT_PATH,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
                # A question must not start a daemon that the user has stopped.
                flags=MessageFlag.NO_AUTOSTART,
            )
        )
    finally:
        bus.disconnect()
        await asyncio.wait([gone], timeout=_TIMEOUT_S)


async def _disconnected(bus: MessageBus) -> None:
    with contextlib.suppress(OSError, EOFError):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
