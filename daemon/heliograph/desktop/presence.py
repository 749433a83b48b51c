"""`ports.Presence` on a Linux desktop, by logind, screen savers and GNOME's idle monitor. Those that do not run say
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heliograph.core.pushers.handoff import Signs
from heliograph.desktop.idle_monitor import IdleMonitor
from heliograph.desktop.login_session import LoginSession
from heliograph.desktop.screen_saver import ScreenSaver
from heliograph.desktop.shared_bus import BusPart, SharedBus
from heliograph.system.dbus import system_bus_address
from heliograph.system.session_bus import session_bus_address

_LONGEST_DELAY_S = 600.0
"""Between looks for a system bus: a machine without one is not going to get one soon."""


class DesktopPresence:
    """Listens from `start` to `stop`. `beside` are other listeners on the same connection to the system bus.

    `monotonic` is CLOCK_MONOTONIC in s, by which logind says since when the session is idle.
    """

    def __init__(
        self,
        *,
        away_after_s: float,
        monotonic: Callable[[], float],
        beside: Sequence[BusPart] = (),
        system_address: str | None = None,
        session_address: str | None = None,
    ) -> None:
        self._listeners: list[Callable[[Signs], None]] = []
        self._login = LoginSession(self._change, away_after_s=away_after_s, monotonic=monotonic)
        self._saver = ScreenSaver(self._change)
        self._idle = IdleMonitor(self._change, away_after_s=away_after_s)
        self._signs = Signs()
        self._system = SharedBus(
            system_address or system_bus_address(),
            [*beside, self._login],
            longest_delay_s=_LONGEST_DELAY_S,
            passes_files=True,
            name="system bus",
        )
        address = session_address or session_bus_address()
        self._session: SharedBus | None = None
        if address is not None:
            self._session = SharedBus(address, [self._saver, self._idle], name="session bus")

    @property
    def signs(self) -> Signs:
        return self._signs

    @property
    def holds_sleep_up(self) -> bool:
        return self._login.holds_sleep_up

    def listen(self, listener: Callable[[Signs], None]) -> None:
        self._listeners.append(listener)
        listener(self._signs)

    def let_sleep(self) -> None:
        self._login.let_sleep()

    async def start(self) -> bool:
        """Returns after the first attempts whether there is a system bus; whatever is missing is looked for again."""
        if self._session is not None:
            await self._session.start()
        return await self._system.start()

    async def stop(self) -> None:
        self._listeners.clear()
        await self._system.stop()
        if self._session is not None:
            await self._session.stop()
        await self._login.stop()
        await self._idle.stop()

    def _change(self) -> None:
        signs = Signs(
            is_locked=self._login.is_locked or self._saver.is_active,
            is_idle=self._login.is_idle or self._idle.is_idle,
            is_asleep=self._login.is_asleep,
        )
        if signs != self._signs:
            self._signs = signs
            for listener in tuple(self._listeners):
                listener(signs)
