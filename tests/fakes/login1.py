"""A logind on a test's own bus: one graphical session, delay inhibitors, and a machine that sleeps when let.

It refuses what systemd's refuses (tests/contract/test_logind.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from support.waiting import until

NAME = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
SESSION_ID = "2"
SESSION_PATH = f"{PATH}/session/_32"
USER_PATH = f"{PATH}/user/_{os.getuid()}"
MANAGER, SESSION, USER = f"{NAME}.Manager", f"{NAME}.Session", f"{NAME}.User"
PROPERTIES = "org.freedesktop.DBus.Properties"
DELAY_MAX_S = 5
"""logind's InhibitDelayMaxSec, if its configuration says nothing."""
_ERROR = "org.freedesktop.DBus.Error"
_SIGNATURES = {
    MANAGER: {"GetUser": "u", "GetSession": "s", "Inhibit": "ssss"},
    PROPERTIES: {"Get": "ss", "GetAll": "s", "Set": "ssv"},
}
_DELAYABLE = {"sleep", "shutdown"}
_BLOCKABLE = _DELAYABLE | {
    "idle",
    *(f"handle-{what}" for what in ("power-key", "suspend-key", "hibernate-key", "lid-switch", "reboot-key")),
}


class _Refused(Exception):
    """With this D-Bus error."""


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
        self._is_sleeping = False
        """Or about to."""
        self.has_display = True
        self.refuses_inhibitors = False
        self.session: dict[str, Variant] = {
            "LockedHint": Variant("b", False),
            "Active": Variant("b", True),
            "IdleHint": Variant("b", False),
            "IdleSinceHint": Variant("t", 0),
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
        """Of the session. What is so already is no change, and is not told."""
        changed = {name: value for name, value in properties.items() if self.session.get(name) != value}
        self.session.update(changed)
        if changed:
            self._signal(SESSION_PATH, PROPERTIES, "PropertiesChanged", "sa{sv}as", SESSION, changed, [])

    def lock(self) -> None:
        self.change(LockedHint=Variant("b", True))

    def unlock(self) -> None:
        self.change(LockedHint=Variant("b", False))

    def idle(self, since_s: float = 0) -> None:
        """The session is idle, and was last touched that long ago, which was after the boot."""
        assert self._monotonic() >= since_s, "nobody touched the session before the machine was started"
        self._hint(is_idle=True, since_s=since_s)

    def touch(self) -> None:
        self._hint(is_idle=False, since_s=0)

    async def suspend(self, longest_s: float = DELAY_MAX_S) -> float:
        """Says so, waits for the inhibitors, sleeps. How long it waited, in seconds."""
        began = time.monotonic()
        self.announce_sleep()
        with contextlib.suppress(AssertionError):
            await until(self._is_let, "the inhibitors", longest_s)
        return time.monotonic() - began

    def announce_sleep(self) -> None:
        self._is_sleeping = True
        self._signal(PATH, MANAGER, "PrepareForSleep", "b", True)

    def resume(self) -> None:
        self._is_sleeping = False
        self._signal(PATH, MANAGER, "PrepareForSleep", "b", False)

    def log_in(self) -> None:
        """A graphical session appears."""
        self.has_display = True
        self._signal(PATH, MANAGER, "SessionNew", "so", SESSION_ID, SESSION_PATH)

    def _hint(self, *, is_idle: bool, since_s: float) -> None:
        """By wall clock it is as long after the epoch as it is after the boot."""
        since = Variant("t", int((self._monotonic() - since_s) * 1_000_000))
        self.change(IdleHint=Variant("b", is_idle), IdleSinceHint=since, IdleSinceHintMonotonic=since)

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

    # What it answers

    def _answer(self, call: Message) -> Message | None:
        if call.message_type is not MessageType.METHOD_CALL or call.interface is None:
            return None
        try:
            return self._serve(call)
        except _Refused as refusal:
            return Message.new_error(call, str(refusal), "no")

    def _serve(self, call: Message) -> Message:
        known = self._objects().get(str(call.path))
        if known is None:
            raise _Refused(f"{_ERROR}.UnknownObject")
        interface, properties = known
        methods = _SIGNATURES.get(str(call.interface), {}) if call.interface in (interface, PROPERTIES) else {}
        if call.member not in methods:
            raise _Refused(f"{_ERROR}.UnknownMethod")
        if call.signature != methods[str(call.member)]:
            raise _Refused(f"{_ERROR}.InvalidArgs")
        match call.member, call.body:
            case (("Get" | "GetAll" | "Set"), [asked, *_]) if asked != interface:
                raise _Refused(f"{_ERROR}.UnknownInterface")
            case (("Get" | "Set"), [_, name, *_]) if name not in properties:
                raise _Refused(f"{_ERROR}.UnknownProperty")
            case "Set", _:
                raise _Refused(f"{_ERROR}.PropertyReadOnly")
            case "Get", [_, name]:
                return Message.new_method_return(call, "v", [properties[name]])
            case "GetAll", _:
                return Message.new_method_return(call, "a{sv}", [dict(properties)])
            case "Inhibit", [what, _, _, mode]:
                return self._inhibit(call, what.split(":"), mode)
        return Message.new_method_return(call, "o", [self._find(str(call.member), call.body[0])])

    def _objects(self) -> Mapping[str, tuple[str, Mapping[str, Variant]]]:
        """Each with its interface and what that has, as far as it is played."""
        display = [SESSION_ID, SESSION_PATH] if self.has_display else ["", "/"]
        manager = {
            "PreparingForSleep": Variant("b", self._is_sleeping),
            "DelayInhibited": Variant("s", "" if self._is_let() else "sleep"),
            "InhibitDelayMaxUSec": Variant("t", DELAY_MAX_S * 1_000_000),
        }
        return {
            PATH: (MANAGER, manager),
            USER_PATH: (USER, {"Display": Variant("(so)", display)}),
            SESSION_PATH: (SESSION, self.session),
        }

    def _find(self, member: str, key: str | int) -> str:
        match member, key:
            case "GetUser", _ if key == os.getuid():
                return USER_PATH
            case "GetUser", _:
                raise _Refused(f"{NAME}.NoSuchUser")
            case _, "2":
                return SESSION_PATH
            case _, "" | "self":
                # Whoever asks was started outside of all sessions.
                raise _Refused(f"{NAME}.NoSessionForPID")
        raise _Refused(f"{NAME}.NoSuchSession")

    def _inhibit(self, call: Message, what: list[str], mode: str) -> Message:
        """Only sleep is ever held up here; whatever else may be, is let be."""
        if self.refuses_inhibitors:
            raise _Refused(f"{_ERROR}.AccessDenied")
        if not _BLOCKABLE.issuperset(what) or mode not in ("block", "delay"):
            raise _Refused(f"{_ERROR}.InvalidArgs")
        if mode == "delay" and not _DELAYABLE.issuperset(what):
            raise _Refused(f"{_ERROR}.InvalidArgs")
        if self._is_sleeping and "sleep" in what:
            raise _Refused(f"{NAME}.OperationInProgress")
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if mode == "delay" and "sleep" in what:
            self._inhibitors.append(reading)
        else:
            os.close(reading)
        asyncio.get_running_loop().call_later(0.2, os.close, writing)
        return Message.new_method_return(call, "h", [0], unix_fds=[writing])
