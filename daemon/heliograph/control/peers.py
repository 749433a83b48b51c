"""Finds out which program calls over D-Bus, and refuses those that live in a sandbox (Flatpak, Snap) what acts in the
user's name.

A program in a sandbox was given only a part of what its user may do. Every other program of the session can do all that
the user can, so refusing it anything would protect nothing.
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
from heliograph.system.dbus import DRIVER, DRIVER_PATH, Bus, BusGone, CallFailed

log = logging.getLogger(__name__)

MOST_KNOWN = 256
_ASK_S = 5.0
_UNKNOWN = "of which nobody knows where it lives"

PeerCredentials = Mapping[str, Any]
"""Named as by GetConnectionCredentials of the D-Bus specification: ProcessID, LinuxSecurityLabel and ProcessFD. The
last one is a descriptor here, which the caller closes."""


class Peers:
    """The programs that call over one connection to the bus. `ask` gets the credentials of a unique name from the bus,
    and may raise OSError."""

    def __init__(self, ask: Callable[[str], Awaitable[PeerCredentials]]) -> None:
        self._ask = ask
        self._known: OrderedDict[str, str | None] = OrderedDict()
        """By unique name: the sandbox in words for people, or None. A bus gives each unique name only once, so that an
        answer holds for as long as the name does.
        Test: test_a_program_outside_of_any_sandbox_is_known_from_then_on."""

    def note_call(self, message: Message) -> None:
        """Notes who called, for the method that is about to be called. A message handler for dbus-fast."""
        if message.message_type is MessageType.METHOD_CALL:
            _caller.set((self, message.sender or ""))

    async def find_home(self, name: str) -> str | None:
        """The sandbox in which the peer lives, in words for people; None: it lives in none. If that cannot be told, the
        peer counts as sandboxed."""
        if name in self._known:
            return self._known[name]
        try:
            async with asyncio.timeout(_ASK_S):
                home = await self._look(name)
        except (OSError, TimeoutError) as error:
            # Not remembered: the next call asks again.
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
                # The bus is older than this property. While we hold a descriptor of the process, its number cannot be
                # given to another process; whether that happened before is not known.
                descriptor = os.pidfd_open(pid)
            sandbox = await asyncio.to_thread(find_sandbox, pid, _text(credentials.get("LinuxSecurityLabel")))
            # Last: if the process lives still, all that /proc told under its number was about this process.
            if _has_ended(descriptor):
                raise OSError("it has ended")
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return None if sandbox is None else f"in a sandbox ({sandbox})"


async def refuse_sandboxed() -> None:
    """Raises UserError unless the caller may act in the user's name. To be called in a method that D-Bus called."""
    peers, name = _caller.get()
    if (home := await peers.find_home(name)) is not None:
        raise UserError(f"A program {home} may not do that.", "Run the command outside of any sandbox.")


def ask_over(bus: MessageBus) -> Callable[[str], Awaitable[PeerCredentials]]:
    """A function for `Peers` that gets credentials over this connection."""

    async def ask(name: str) -> PeerCredentials:
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
        return _read_credentials(reply)

    return ask


def ask_through(bus: Bus) -> Callable[[str], Awaitable[PeerCredentials]]:
    """As `ask_over`, over a connection that is made again when the bus dies."""

    async def ask(name: str) -> PeerCredentials:
        try:
            reply = await bus.call(DRIVER, DRIVER_PATH, DRIVER, "GetConnectionCredentials", "s", [name])
        except (BusGone, CallFailed) as error:
            raise OSError("the bus does not answer") from error
        return _read_credentials(reply)

    return ask


def _read_credentials(reply: Message) -> PeerCredentials:
    if reply.message_type is not MessageType.METHOD_RETURN or reply.signature != "a{sv}":
        raise OSError("the bus does not tell who that is")
    told = {key: value.value for key, value in reply.body[0].items() if isinstance(value, Variant)}
    return _with_descriptor(told, reply.unix_fds)


def _with_descriptor(told: dict[str, Any], descriptors: list[int]) -> PeerCredentials:
    """Replaces the index of the descriptor by the descriptor itself, and closes all others: they would stay open."""
    index = told.pop("ProcessFD", None)
    for place, descriptor in enumerate(descriptors):
        if place == index:
            told["ProcessFD"] = descriptor
        else:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    return told


def _has_ended(descriptor: int) -> bool:
    """True if the process has ended: its descriptor is readable then (pidfd_open(2))."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _text(label: object) -> str:
    return bytes(label).rstrip(b"\0").decode(errors="replace") if isinstance(label, bytes | list) else ""


async def _tell_nothing(name: str) -> PeerCredentials:
    return {}


_caller: ContextVar[tuple[Peers, str]] = ContextVar("caller", default=(Peers(_tell_nothing), ""))
"""Who called. dbus-fast runs a method in the context of the handlers that saw its message, so each call has its own
value. By default, a caller that may not act."""
