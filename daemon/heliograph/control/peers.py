"""Who calls over D-Bus: what acts in the user's name is refused to programs in a sandbox (Flatpak, Snap).

Such a program was given a part of what its user may do. Any other one of the session can do all that its user can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from heliograph.control.sandbox import find_sandbox
from heliograph.errors import UserError
from heliograph.system.dbus import DRIVER, DRIVER_PATH

log = logging.getLogger(__name__)

MOST_KNOWN = 256
_ASK_S = 5.0
_UNKNOWN = "of which nobody knows where it lives"

Credentials = Mapping[str, Any]
"""As GetConnectionCredentials of the D-Bus specification tells them: ProcessID, LinuxSecurityLabel, and ProcessFD, here
a descriptor that is closed by who asked for it."""


class Peers:
    """Of one connection to the bus. `ask` tells a peer's credentials by its unique name; it may raise OSError."""

    def __init__(self, ask: Callable[[str], Awaitable[Credentials]]) -> None:
        self._ask = ask
        self._known: OrderedDict[str, str | None] = OrderedDict()
        """By unique name, which a bus gives once only: where the peer lives, None for no sandbox."""

    def note_call(self, message: Message) -> None:
        """A message handler: what is called because of this message knows who called."""
        if message.message_type is MessageType.METHOD_CALL:
            _caller.set((self, message.sender or ""))

    async def find_home(self, name: str) -> str | None:
        """The sandbox that the peer lives in, for people, or None."""
        if name in self._known:
            return self._known[name]
        try:
            async with asyncio.timeout(_ASK_S):
                home = await self._look(name)
        except (OSError, TimeoutError) as error:
            # Not for good: the next call asks again.
            log.warning("Where the program %s on the session bus lives cannot be told: %s", name, error)
            return _UNKNOWN
        self._known[name] = home
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return home

    async def _look(self, name: str) -> str | None:
        credentials = await self._ask(name)
        pid, descriptor = credentials.get("ProcessID"), credentials.get("ProcessFD")
        try:
            if not isinstance(pid, int) or pid <= 0:
                raise OSError("the bus does not tell its process")
            if descriptor is None:
                # A bus that is older than this property. From here on the number cannot come to mean another process.
                descriptor = os.pidfd_open(pid)
            sandbox = await asyncio.to_thread(find_sandbox, pid, _text(credentials.get("LinuxSecurityLabel")))
            if _has_ended(descriptor):
                raise OSError("it has ended")
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return None if sandbox is None else f"in a sandbox ({sandbox})"


async def refuse_sandboxed() -> None:
    """In a method that is called over D-Bus: raises UserError unless its caller may act in the user's name."""
    peers, name = _caller.get()
    if (home := await peers.find_home(name)) is not None:
        raise UserError(f"A program {home} may not do that.", "Run the command outside of any sandbox.")


def ask_over(bus: MessageBus) -> Callable[[str], Awaitable[Credentials]]:
    """`Peers`' way to ask, over this connection."""

    async def ask(name: str) -> Credentials:
        request = Message(
            destination=DRIVER,
            path=DRIVER_PATH,
            interface=DRIVER,
            member="GetConnectionCredentials",
            signature="s",
            body=[name],
        )
        try:
            reply = await bus.call(request)
        except (EOFError, DBusFastError) as error:
            raise OSError("the bus does not answer") from error
        if reply is None:
            raise OSError("the bus does not answer")
        if reply.message_type is not MessageType.METHOD_RETURN or reply.signature != "a{sv}":
            raise OSError("the bus does not tell who that is")
        told = {key: value.value for key, value in reply.body[0].items() if isinstance(value, Variant)}
        return _with_descriptor(told, reply.unix_fds)

    return ask


def _with_descriptor(told: dict[str, Any], descriptors: list[int]) -> Credentials:
    """The index of the descriptor becomes the descriptor; all others are closed."""
    index = told.pop("ProcessFD", None)
    for place, descriptor in enumerate(descriptors):
        if place == index:
            told["ProcessFD"] = descriptor
        else:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    return told


def _has_ended(descriptor: int) -> bool:
    """pidfd_open(2): it is readable when its process has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _text(label: object) -> str:
    return bytes(label).rstrip(b"\0").decode(errors="replace") if isinstance(label, bytes | list) else ""


async def _tell_nothing(name: str) -> Credentials:
    return {}


_caller: ContextVar[tuple[Peers, str]] = ContextVar("caller", default=(Peers(_tell_nothing), ""))
"""dbus-fast starts a method in the context of the handlers that saw its message. By default: nobody who may act."""
