"""Learns from GNOME's idle monitor when the user becomes idle or active. It counts the time, and wakes nobody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence

from dbus_fast import Message

from heliograph.system.dbus import CALL_TIMEOUT_S, Bus, BusGone, CallFailed
from heliograph.system.tasks import start_beside

NAME = "org.gnome.Mutter.IdleMonitor"
PATH = "/org/gnome/Mutter/IdleMonitor/Core"


class IdleMonitor:
    """A `BusPart` of the session bus; it calls `on_change` when the user becomes idle for that long, or active."""

    def __init__(self, on_change: Callable[[], None], *, away_after_s: float) -> None:
        self._on_change = on_change
        self._away_after_ms = int(away_after_s * 1000)
        self._bus: Bus | None = None
        self._idle_watch: int | None = None
        self._active_watch: int | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self.is_idle = False

    @property
    def matches(self) -> Sequence[str]:
        return (
            f"type='signal',sender='{NAME}',interface='{NAME}',member='WatchFired'",
            "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
            f"member='NameOwnerChanged',arg0='{NAME}'",
        )

    async def stop(self) -> None:
        """Lets go of everything but the bus."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def meet(self, bus: Bus) -> None:
        self._bus = bus
        with contextlib.suppress(CallFailed):
            if await bus.call_driver("NameHasOwner", "s", [NAME]):
                self._spawn(self._watch())

    def hear(self, signal: Message) -> None:
        match signal.member, signal.signature:
            case "WatchFired", "u" if signal.interface == NAME:
                self._take_watch(int(signal.body[0]))
            case "NameOwnerChanged", "sss" if signal.body[0] == NAME:
                self._set_idle(is_idle=False)
                if signal.body[2]:
                    self._spawn(self._watch())

    def part(self) -> None:
        self._bus = None
        self._set_idle(is_idle=False)

    async def _watch(self) -> None:
        if self._bus is None or self._away_after_ms <= 0:
            return
        self._idle_watch = await self._ask("AddIdleWatch", "t", self._away_after_ms)
        reply = await self._bus.call(NAME, PATH, NAME, "GetIdletime")
        if reply.signature == "t" and reply.body[0] >= self._away_after_ms:
            await self._become_idle()

    async def _become_idle(self) -> None:
        # Mutter removes this watch when it fires, so it is made anew each time.
        self._active_watch = await self._ask("AddUserActiveWatch", "")
        self._set_idle(is_idle=True)

    def _take_watch(self, watch: int) -> None:
        if watch == self._idle_watch:
            self._spawn(self._become_idle())
        elif watch == self._active_watch:
            self._active_watch = None
            self._set_idle(is_idle=False)

    def _set_idle(self, *, is_idle: bool) -> None:
        if is_idle is not self.is_idle:
            self.is_idle = is_idle
            self._on_change()

    async def _ask(self, member: str, signature: str, *body: int) -> int | None:
        if self._bus is None:
            raise BusGone("not connected to the bus")
        reply = await self._bus.call(NAME, PATH, NAME, member, signature, body)
        return int(reply.body[0]) if reply.signature == "u" else None

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = start_beside(_in_time(work), name="asking the idle monitor")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _in_time(work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(BusGone, CallFailed, TimeoutError):
        async with asyncio.timeout(CALL_TIMEOUT_S):
            await work
