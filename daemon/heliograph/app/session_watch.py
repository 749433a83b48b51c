"""Tells when the session that the daemon was started in is over: its bus was there, and is gone.

A daemon that outlived its session would keep the account from the daemon of the next one, which shows something. While
the bus is away, the ledger's lock says that this daemon is leaving, and the next session's daemon waits for it.
Tests: test_a_session_is_over_when_its_bus_stays_away, test_the_bus_of_a_user_who_lingers_outlives_sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from heliograph.system.dbus import Bus
from heliograph.system.service_manager import has_started_us
from heliograph.system.session_bus import outlives_sessions, session_bus_address
from heliograph.system.tasks import cancel, start

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long a bus that is restarted may be away."""
_LOOK_S = 1.0


class SessionWatch:
    """Holds a connection of its own to the bus at `address`, from `start` to `stop`.

    `on_doubt` is told True when the bus goes, and False when it is back. `patience_s`: how long it may be away.
    """

    def __init__(self, address: str, *, on_doubt: Callable[[bool], None], patience_s: float = PATIENCE_S) -> None:
        self._on_doubt = on_doubt
        self._patience_s = patience_s
        self._is_gone = asyncio.Event()
        self._is_back = asyncio.Event()
        self._bus = Bus(
            address,
            matches=(),
            on_connected=self._meet,
            on_message=lambda _: None,
            on_lost=self._lose,
            longest_delay_s=_LOOK_S,
            name="session watch",
        )

    async def start(self) -> None:
        """Returns after the first attempt. A bus that was never there does not end a session."""
        await self._bus.start()

    async def stop(self) -> None:
        await self._bus.stop()

    async def over(self) -> None:
        """Returns when the session is over."""
        while True:
            await self._is_gone.wait()
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._is_back.wait()
            except TimeoutError:
                return

    async def _meet(self) -> None:
        self._is_back.set()
        if self._is_gone.is_set():
            self._is_gone.clear()
            self._on_doubt(False)

    def _lose(self) -> None:
        if not self._is_gone.is_set():
            # Told once, however often the bus is tried meanwhile.
            self._is_gone.set()
            self._is_back.clear()
            self._on_doubt(True)


async def end_with_session(
    stop: asyncio.Event, on_doubt: Callable[[bool], None], stack: contextlib.AsyncExitStack
) -> None:
    """Until `stack` closes, `stop` is set when the session that this process was started in is over.

    Not under systemd, which ends a service itself, nor where the bus outlives sessions.
    """
    address = session_bus_address()
    if address is None or has_started_us() or await asyncio.to_thread(outlives_sessions, address):
        return
    watch = SessionWatch(address, on_doubt=on_doubt)
    await watch.start()
    stack.push_async_callback(watch.stop)
    stack.push_async_callback(cancel, start(_stop_after(watch, address, stop), name="end of the session"))


async def _stop_after(watch: SessionWatch, address: str, stop: asyncio.Event) -> None:
    await watch.over()
    log.info("The session bus at %s is gone: Heliograph ends with its session", address)
    stop.set()
