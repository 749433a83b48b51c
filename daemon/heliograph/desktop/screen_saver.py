"""Follows the session's screen saver or locker, of those that tell on the session bus when they are active."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from dbus_fast import Message

from heliograph.system.dbus import Bus, CallFailed

_SAVERS = {
    f"org.{name}.ScreenSaver": f"/org/{name}/ScreenSaver"
    for name in ("freedesktop", "gnome", "cinnamon", "mate", "xfce")
}

_PATIENCE_S = 0.5
"""How long one screen saver's answer is waited for: one that hangs must not keep the others from being asked."""


class ScreenSaver:
    """A `BusPart` of the session bus; it calls `on_change` when the saver begins or ends."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._active: set[str] = set()

    @property
    def is_active(self) -> bool:
        return bool(self._active)

    @property
    def matches(self) -> Sequence[str]:
        return [
            rule
            for name in _SAVERS
            for rule in (
                f"type='signal',sender='{name}',interface='{name}',member='ActiveChanged'",
                "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                f"member='NameOwnerChanged',arg0='{name}'",
            )
        ]

    async def meet(self, bus: Bus) -> None:
        """Asks only the screen savers that run, since the bus would start the others."""
        for name, path in _SAVERS.items():
            with contextlib.suppress(CallFailed, TimeoutError):
                if await bus.call_driver("NameHasOwner", "s", [name]):
                    async with asyncio.timeout(_PATIENCE_S):
                        reply = await bus.call(name, path, name, "GetActive")
                    self._take(name, is_active=reply.signature == "b" and bool(reply.body[0]))

    def hear(self, signal: Message) -> None:
        match signal.member, signal.signature:
            case "ActiveChanged", "b" if signal.interface in _SAVERS:
                self._take(str(signal.interface), is_active=bool(signal.body[0]))
            # A screen saver that crashed does not tell that it is over.
            case "NameOwnerChanged", "sss" if signal.body[0] in _SAVERS and not signal.body[2]:
                self._take(signal.body[0], is_active=False)

    def part(self) -> None:
        for name in tuple(self._active):
            self._take(name, is_active=False)

    def _take(self, name: str, *, is_active: bool) -> None:
        was_active = self.is_active
        (self._active.add if is_active else self._active.discard)(name)
        if self.is_active is not was_active:
            self._on_change()
