"""The user's session as logind knows it: locked, idle, in front or not; and the machine's way to sleep and back.

org.freedesktop.login1(5). A session that sets no hints (a bare window manager without swayidle or the like) is never
locked nor idle here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from dbus_fast import Message, Variant

from heliograph.system.dbus import Bus, BusGone, CallFailed
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

NAME = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
MANAGER = f"{NAME}.Manager"
SESSION = f"{NAME}.Session"
USER = f"{NAME}.User"
_PATIENCE_S = 2.0
_PROPERTIES = "org.freedesktop.DBus.Properties"


class LoginSession:
    """A `BusPart` of the system bus; it calls `on_change` after each change of what it tells.

    `monotonic` is CLOCK_MONOTONIC in s, by which logind says since when the session is idle.
    """

    def __init__(self, on_change: Callable[[], None], *, away_after_s: float, monotonic: Callable[[], float]) -> None:
        self._on_change = on_change
        self._away_after_s = away_after_s
        self._monotonic = monotonic
        self._bus: Bus | None = None
        self._session: str | None = None
        self._properties: dict[str, Any] = {}
        self._is_idle = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._inhibitor: int | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self.is_asleep = False

    @property
    def matches(self) -> Sequence[str]:
        signal = f"type='signal',sender='{NAME}'"
        return (
            *(
                f"{signal},interface='{MANAGER}',member='{member}'"
                for member in ("PrepareForSleep", "SessionNew", "SessionRemoved")
            ),
            f"{signal},interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{SESSION}'",
            "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
            f"member='NameOwnerChanged',arg0='{NAME}'",
        )

    @property
    def is_locked(self) -> bool:
        """Whether the session is locked, or another session is in front."""
        return self._properties.get("LockedHint") is True or self._properties.get("Active") is False

    @property
    def is_idle(self) -> bool:
        """Whether the user has been idle for as long as was asked for at the start."""
        return self._is_idle

    @property
    def holds_sleep_up(self) -> bool:
        """Whether the machine waits for `let_sleep` before it sleeps."""
        return self._inhibitor is not None

    def let_sleep(self) -> None:
        """Lets the machine sleep: it need not wait for us any longer."""
        inhibitor, self._inhibitor = self._inhibitor, None
        if inhibitor is not None:
            with contextlib.suppress(OSError):
                os.close(inhibitor)

    async def stop(self) -> None:
        """Lets go of everything but the bus."""
        self.let_sleep()
        self._stop_timer()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # The part

    async def meet(self, bus: Bus) -> None:
        self._bus = bus
        await _in_time(self._look())
        await _in_time(self._inhibit())

    def hear(self, signal: Message) -> None:
        match signal.interface, signal.member, signal.signature:
            case (_, "PrepareForSleep", "b") if signal.interface == MANAGER:
                self._take_sleep(is_asleep=bool(signal.body[0]))
            case (_, "SessionNew" | "SessionRemoved", _) if signal.interface == MANAGER:
                self._spawn(self._look())
            case (_, "PropertiesChanged", "sa{sv}as") if signal.path == self._session and signal.body[0] == SESSION:
                self._take(_values(signal.body[1]))
                # Properties that changed without their values have to be asked for.
                if signal.body[2]:
                    self._spawn(self._look())
            case (_, "NameOwnerChanged", "sss") if signal.body[0] == NAME:
                self._take_owner(signal.body[2])

    def part(self) -> None:
        self._bus = None
        self._take_owner("")

    def _take_owner(self, owner: str) -> None:
        """logind went or came back: its earlier inhibitors and sessions are gone."""
        self.let_sleep()
        self.is_asleep = False
        self._session = None
        self._replace({})
        if owner and self._bus is not None:
            self._spawn(self._look())
            self._spawn(self._inhibit())

    def _take_sleep(self, *, is_asleep: bool) -> None:
        self.is_asleep = is_asleep
        if not is_asleep:
            self._spawn(self._inhibit())
        self._on_change()

    def _take(self, changed: Mapping[str, Any]) -> None:
        self._replace({**self._properties, **changed})

    def _replace(self, properties: dict[str, Any]) -> None:
        self._properties = properties
        self._set_idle()
        self._on_change()

    # Idleness

    def _set_idle(self) -> None:
        self._stop_timer()
        is_hinted = self._properties.get("IdleHint") is True and self._away_after_s > 0
        if not is_hinted:
            self._is_idle = False
            return
        now = self._monotonic()
        since_us = self._properties.get("IdleSinceHintMonotonic")
        since = since_us / 1_000_000 if isinstance(since_us, int) else now
        # Bounded: with a time in the future the user would be present until then.
        wait = min(since + self._away_after_s - now, self._away_after_s)
        self._is_idle = wait <= 0
        if wait > 0:
            self._idle_timer = asyncio.get_running_loop().call_later(wait, self._become_idle)

    def _become_idle(self) -> None:
        self._is_idle = True
        self._on_change()

    def _stop_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    # Questions to logind

    async def _look(self) -> None:
        """Asks which session of the user is on screen, and whether that one is locked, idle or in front."""
        try:
            session = await self._find_session()
            reply = await self._call(session, _PROPERTIES, "GetAll", "s", SESSION) if session else None
        except CallFailed as error:
            log.debug("logind tells nothing of the session: %s", error)
            return
        self._session = session
        self._replace(_values(reply.body[0]) if reply is not None and reply.signature == "a{sv}" else {})

    async def _find_session(self) -> str | None:
        """The user's graphical session; if there is none, the session that the daemon was started in."""
        display = await self._find_display()
        if display is not None:
            return display
        session_id = os.environ.get("XDG_SESSION_ID")
        if not session_id:
            return None
        reply = await self._call(PATH, MANAGER, "GetSession", "s", session_id)
        return str(reply.body[0]) if reply.signature == "o" else None

    async def _find_display(self) -> str | None:
        try:
            # Not user/self, which is whose slice we are in: a program may have been started outside of it. Test:
            # test_systemds_own_logind_passes_the_same_suite.
            user = await self._call(PATH, MANAGER, "GetUser", "u", os.getuid())
            reply = await self._call(str(user.body[0]), _PROPERTIES, "Get", "ss", USER, "Display")
        except CallFailed as error:
            log.debug("logind does not know the user: %s", error)
            return None
        display = reply.body[0].value if reply.signature == "v" else None
        if isinstance(display, list | tuple) and len(display) == 2 and display[0]:
            return str(display[1])
        return None

    async def _inhibit(self) -> None:
        """Has the machine wait for `let_sleep`, for as long as logind's InhibitDelayMaxSec."""
        if self._inhibitor is not None:
            return
        what = ("sleep", "Heliograph", "Hands notifications over to your other devices", "delay")
        try:
            reply = await self._call(PATH, MANAGER, "Inhibit", "ssss", *what)
        except CallFailed as error:
            log.debug("logind does not let us hold up sleep: %s", error)
            return
        # An earlier one is closed first: sleep would wait for each.
        if reply.signature == "h" and reply.body[0] < len(reply.unix_fds):
            self.let_sleep()
            self._inhibitor = reply.unix_fds[reply.body[0]]

    async def _call(self, path: str, interface: str, member: str, signature: str, *body: Any) -> Message:
        if self._bus is None:
            raise BusGone("not connected to the bus")
        return await self._bus.call(NAME, path, interface, member, signature, body)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = start_beside(_in_time(work), name="asking logind")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _in_time(work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(BusGone, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            await work


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.value for name, value in properties.items() if isinstance(value, Variant)}
