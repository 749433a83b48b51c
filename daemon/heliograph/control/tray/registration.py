"""Has the tray show our item: tells the watcher of it, whenever there is a watcher or a new one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from dbus_fast import Message, MessageType

from heliograph.control.tray import WATCHER_NAME, WATCHER_PATH
from heliograph.core.text.clean import clean_line
from heliograph.system.dbus import CALL_TIMEOUT_S, DRIVER, Bus, BusGone, CallFailed
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

MATCH = f"type='signal',sender='{DRIVER}',interface='{DRIVER}',member='NameOwnerChanged',arg0='{WATCHER_NAME}'"

NO_TRAY = "no tray"
REGISTERED = "in the tray"
TRIES = 6
FIRST_DELAY_S = 1.0
_REASON_LIMIT = 200


class Registration:
    """The item's place at the watcher. A watcher that refuses is asked again some times, with pauses that double."""

    def __init__(self, on_registered: Callable[[], None]) -> None:
        self._on_registered = on_registered
        self._task: asyncio.Task[None] | None = None
        self._is_told = False
        """A signal of this connection has told who the watcher is."""
        self.state = NO_TRAY
        """NO_TRAY, REGISTERED, or why the watcher refuses, for people."""

    async def meet(self, bus: Bus) -> None:
        """There is a new connection, on which the item is to be found. Raises BusGone."""
        try:
            owner = str(await bus.call_driver("GetNameOwner", "s", [WATCHER_NAME]))
        except CallFailed:
            owner = ""
        # A signal that came meanwhile is newer than this answer.
        if not self._is_told:
            self._seek(bus, owner)

    def hear(self, bus: Bus, message: Message) -> None:
        """Takes any message: one of them may tell of another watcher."""
        is_owner = message.member == "NameOwnerChanged" and message.signature == "sss"
        if is_owner and message.message_type is MessageType.SIGNAL and message.sender == DRIVER:
            name, _, owner = message.body
            if name == WATCHER_NAME:
                self._is_told = True
                self._seek(bus, owner)

    def part(self) -> None:
        """The connection is gone, and the item with it."""
        self._is_told = False
        self._leave()

    def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.state = NO_TRAY

    def _seek(self, bus: Bus, owner: str) -> None:
        self._leave()
        if owner:
            self._task = start(self._register(bus, owner), name="registering at the tray")

    async def _register(self, bus: Bus, owner: str) -> None:
        delay = FIRST_DELAY_S
        for _ in range(TRIES):
            with contextlib.suppress(BusGone):
                if await self._ask(bus, owner):
                    return
            await asyncio.sleep(delay)
            delay *= 2

    async def _ask(self, bus: Bus, owner: str) -> bool:
        """Whether the watcher took the item. Raises BusGone."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                # By our unique name: it cannot be taken by another, and goes with the connection.
                name = [bus.unique_name or ""]
                await bus.call(owner, WATCHER_PATH, WATCHER_NAME, "RegisterStatusNotifierItem", "s", name)
        except (CallFailed, TimeoutError) as error:
            why = str(error) or "it does not answer"
            self.state = f"refused by the tray: {clean_line(why, _REASON_LIMIT)}"
            log.info("The tray does not take the item: %s", clean_line(why, _REASON_LIMIT))
            return False
        self.state = REGISTERED
        log.debug("The tray has the item")
        self._on_registered()
        return True
