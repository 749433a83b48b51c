"""A logind on a test's own bus: one graphical session, delay inhibitors, and a machine that sleeps when let."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from waiting import until

NAME = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
SESSION_PATH = f"{PATH}/session/_32"
USER_PATH = f"{PATH}/user/_{os.getuid()}"
MANAGER, SESSION = f"{NAME}.Manager", f"{NAME}.Session"
_PROPERTIES = "org.freedesktop.DBus.Properties"


class FakeLogind:
    """`monotonic` is the clock of its machine, in s since the boot. Without `has_display` nobody is logged in
    graphically.
    """

    def __init__(self, address: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._monotonic = monotonic
        self._bus: MessageBus | None = None
        self._inhibitors: list[int] = []
        """Reading ends: at their end when the other side lets go."""
        self.has_display = True
        self.refuses_inhibitors = False
        self.session: dict[str, Variant] = {
            "LockedHint": Variant("b", False),
            "Active": Variant("b", True),
            "IdleHint": Variant("b", False),
            "IdleSinceHintMonotonic": Variant("t", 0),
        }

    async def start(self) -> None:
        self._bus = await MessageBus(bus_address=self._address, negotiate_unix_fd=True).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(NAME)

    async def stop(self) -> None:
        bus, self._bus = self._bus, None
        for inhibitor in self._inhibitors:
            os.close(inhibitor)
        self._inhibitors.clear()
        if bus is not None:
            bus.disconnect()
            with contextlib.suppress(EOFError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    @property
    def inhibitors(self) -> int:
        """How many hold up sleep."""
        return len(self._inhibitors)

    def change(self, **properties: Variant) -> None:
        """Of the session."""
        self.session.update(properties)
        self._signal(SESSION_PATH, _PROPERTIES, "PropertiesChanged", "sa{sv}as", SESSION, properties, [])

    def lock(self) -> None:
        self.change(LockedHint=Variant("b", True))

    def unlock(self) -> None:
        self.change(LockedHint=Variant("b", False))

    def idle(self, since_s: float) -> None:
        """The session is idle, and was last touched that long ago, which was after the boot."""
        since_us = int((self._monotonic() - since_s) * 1_000_000)
        assert since_us >= 0, "nobody touched the session before the machine was started"
        self.change(IdleHint=Variant("b", True), IdleSinceHintMonotonic=Variant("t", since_us))

    def touch(self) -> None:
        self.change(IdleHint=Variant("b", False), IdleSinceHintMonotonic=Variant("t", 0))

    async def suspend(self, longest_s: float = 5) -> float:
        """Says so, waits for the inhibitors, sleeps. How long it waited, in seconds."""
        began = time.monotonic()
        self.announce_sleep()
        with contextlib.suppress(AssertionError):
            await until(self._is_let, "the inhibitors", longest_s)
        return time.monotonic() - began

    def announce_sleep(self) -> None:
        self._signal(PATH, MANAGER, "PrepareForSleep", "b", True)

    def resume(self) -> None:
        self._signal(PATH, MANAGER, "PrepareForSleep", "b", False)

    def log_in(self) -> None:
        """A graphical session appears."""
        self.has_display = True
        self._signal(PATH, MANAGER, "SessionNew", "so", "2", SESSION_PATH)

    def _is_let(self) -> bool:
        for inhibitor in tuple(self._inhibitors):
            with contextlib.suppress(BlockingIOError):
                if not os.read(inhibitor, 1):
                    os.close(inhibitor)
                    self._inhibitors.remove(inhibitor)
        return not self._inhibitors

    def _signal(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        assert self._bus is not None
        self._bus.send(Message.new_signal(path, interface, member, signature, list(body)))

    def _answer(self, call: Message) -> Message | None:
        if call.message_type is not MessageType.METHOD_CALL or call.interface is None:
            return None
        match call.member:
            case "GetUser" if call.body == [os.getuid()]:
                return Message.new_method_return(call, "o", [USER_PATH])
            case "Get" if call.path == USER_PATH:
                display = ["2", SESSION_PATH] if self.has_display else ["", "/"]
                return Message.new_method_return(call, "v", [Variant("(so)", display)])
            case "GetAll" if call.path == SESSION_PATH:
                return Message.new_method_return(call, "a{sv}", [self.session])
            case "GetSession" if call.body == ["2"]:
                return Message.new_method_return(call, "o", [SESSION_PATH])
            case "Inhibit" if not self.refuses_inhibitors:
                assert call.body[0] == "sleep"
                assert call.body[3] == "delay"
                return self._inhibit(call)
        return Message.new_error(call, "org.freedesktop.DBus.Error.AccessDenied", "no")

    def _inhibit(self, call: Message) -> Message:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._inhibitors.append(reading)
        asyncio.get_running_loop().call_later(0.2, os.close, writing)
        return Message.new_method_return(call, "h", [0], unix_fds=[writing])
