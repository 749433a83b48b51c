"""Keeps the item in the tray for as long as there is a bus with a tray. Where there is none, it waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from dbus_fast import Message, MessageType
from dbus_fast.service import ServiceInterface

from heliograph.control.peers import Peers, ask_through
from heliograph.control.tray import ITEM_PATH, MENU_PATH
from heliograph.control.tray.item import Clicks, Pixmaps, StatusNotifierItem, draw_pixmaps
from heliograph.control.tray.menu import DBusMenu
from heliograph.control.tray.registration import MATCH, Registration
from heliograph.core.tray.drawing import Look
from heliograph.core.tray.item import Item, make_item
from heliograph.core.tray.menu import Command, activation, make_menu, secondary_activation
from heliograph.core.tray.situation import TraySituation
from heliograph.system.dbus import Bus, dying_bus
from heliograph.system.tasks import cancel, keep_running, start, taking_up

CHANGES_S = 0.5
"""Changes that come closer together are shown as one: panels draw anew at each, and ask for all pixels."""


AGAIN_S = 5.0
"""So long after a tray took the item everything is signalled once more: GNOME's extension loses what changes while it
looks at a new item. Test: test_a_tray_that_is_slow_to_look_shows_the_item_right_all_the_same."""


class Tray:
    """The item. `on_command` is called with what the user asks for, and with the activation token of that click ("":
    there is none); it must not raise."""

    def __init__(
        self, address: str, look: Look, on_command: Callable[[Command, str], None], situation: TraySituation
    ) -> None:
        self._look = look
        self._on_command = on_command
        self._situation = situation
        self._changed = asyncio.Event()
        self._registration = Registration(self._note_registered)
        self._again: asyncio.TimerHandle | None = None
        self._bus = Bus(
            address,
            matches=(MATCH,),
            objects=self._make_objects,
            on_connected=lambda: self._registration.meet(self._bus),
            on_message=self._hear,
            on_lost=self._part,
            # Who clicks is told by a descriptor of its process.
            passes_files=True,
            name="tray's bus",
        )
        self._peers = Peers(ask_through(self._bus))
        self._shown: tuple[Item, Pixmaps] = (make_item(situation), [])
        self._item = self._make_item()
        self._menu = self._make_menu()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """Whether the item is in a tray, in words for `heliograph tray`."""
        return self._registration.state

    async def start(self) -> None:
        """Returns after the first attempt to reach the bus. Further ones follow in the background."""
        if self._task is None:
            await self._draw(self._situation)
            self._take_new_objects()
            self._task = start(keep_running("tray", self._run), name="tray")
            await self._bus.start()

    async def stop(self) -> None:
        """Takes the item out of the tray for good."""
        await self._bus.stop()
        if self._task is not None:
            await cancel(self._task)

    def take(self, situation: TraySituation) -> None:
        """Shows this situation: at once after a rest, else soon."""
        if situation != self._situation:
            self._situation = situation
            self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            with taking_up(self._changed):
                await self._show(self._situation)
            await asyncio.sleep(CHANGES_S)

    async def _show(self, situation: TraySituation) -> None:
        await self._draw(situation)
        with dying_bus():
            self._item.take(*self._shown)
            self._menu.take(make_menu(situation))

    async def _draw(self, situation: TraySituation) -> None:
        item = make_item(situation)
        (before, pixmaps) = self._shown
        if item.icon != before.icon or not pixmaps:
            # Beside the event loop: the first drawing takes as long as many messages.
            pixmaps = await asyncio.to_thread(draw_pixmaps, item.icon, self._look)
        self._shown = (item, pixmaps)

    # What hosts call

    def _make_objects(self) -> Mapping[str, ServiceInterface]:
        self._take_new_objects()
        return {ITEM_PATH: self._item, MENU_PATH: self._menu}

    def _note_registered(self) -> None:
        self._stop_timer()
        self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._announce)

    def _announce(self) -> None:
        with dying_bus():
            self._item.announce()

    def _stop_timer(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _part(self) -> None:
        self._stop_timer()
        self._registration.part()
        # What is shown meanwhile is to be told nobody.
        self._take_new_objects()

    def _take_new_objects(self) -> None:
        """For each connection others: dbus-fast keeps a dead bus in an interface that was exported there."""
        self._item, self._menu = self._make_item(), self._make_menu()

    def _make_item(self) -> StatusNotifierItem:
        clicks = Clicks(
            primary=lambda token: self._on_command(activation(self._situation), token),
            secondary=lambda token: self._on_command(secondary_activation(self._situation), token),
        )
        return StatusNotifierItem(*self._shown, clicks)

    def _make_menu(self) -> DBusMenu:
        return DBusMenu(make_menu(self._situation), self._take_command, self._catch_up)

    def _take_command(self, command: Command) -> None:
        self._on_command(command, self._item.take_token())

    def _catch_up(self) -> None:
        with dying_bus():
            self._menu.take(make_menu(self._situation))

    def _hear(self, message: Message) -> None:
        if message.message_type is MessageType.METHOD_CALL:
            self._peers.note_call(message)
        else:
            self._registration.hear(self._bus, message)
