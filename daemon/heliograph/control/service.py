"""Keeps the daemon's object on the session bus, which answers other programs. Without a bus the daemon runs all the
same."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError
from dbus_fast.service import ServiceInterface

from heliograph import __version__
from heliograph.control import BUS_NAME, OBJECT_PATH
from heliograph.control.badge import DOCK_NAME, badge_signal
from heliograph.control.interface import Answers, Daemon1
from heliograph.control.peers import Peers, ask_over
from heliograph.core.record import Delivery
from heliograph.core.summary.summary import Summary
from heliograph.system.dbus import DRIVER, DRIVER_PATH, QuietBus, dying_bus
from heliograph.system.session_bus import session_bus_address
from heliograph.system.tasks import keep_running, start

log = logging.getLogger(__name__)

_CONNECT_S = 5.0
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 60.0
_CONNECT_ERRORS = (OSError, EOFError, ValueError, TimeoutError, DBusFastError)


class Control:
    """Keeps the object on the bus for as long as there is a bus, and the badge on the icon of `badge_on` (a desktop
    id).

    A second daemon of the same user leaves the name to the first, and takes the name when the first one ends.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        beside: Sequence[ServiceInterface] = (),
        badge_on: str = "",
        bus_address: str | None = None,
    ) -> None:
        """`beside`: further interfaces of the same object."""
        self._answers = answers
        self._beside = tuple(beside)
        self._badge_on = badge_on
        self._bus_address = bus_address
        self._summary = Summary()
        self._bus: MessageBus | None = None
        """None unless the name is ours."""
        self._interface: Daemon1 | None = None
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns after the first attempt, whether that worked or not. Further ones follow in the background."""
        if self._task is None:
            self._task = start(self._keep(), name="control")
        await self._tried.wait()

    async def stop(self) -> None:
        """Takes the object off the bus for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def publish(self, summary: Summary) -> None:
        """Replaces the values of all properties. Signals those that changed, and the badge to docks."""
        # Docks redraw at each signal.
        is_badge_new = (summary.unread, summary.highlights) != (self._summary.unread, self._summary.highlights)
        self._summary = summary
        if self._interface is not None:
            with dying_bus():
                self._interface.take(summary)
        if is_badge_new:
            self._show_badge(summary)

    def tell_rang(self, account: str, delivery: Delivery) -> None:
        """Sends the signal Rang, which tells room and sender of a message but not its text: each program on the bus can
        hear this."""
        content = delivery.content
        if self._interface is not None and content is not None:
            with dying_bus():
                self._interface.Rang(
                    account,
                    delivery.room_id,
                    delivery.event_id,
                    content.room_title,
                    delivery.sender,
                    is_highlight=content.is_highlight,
                )

    def move_badge(self, badge_on: str) -> None:
        """Takes the badge away, and puts it on the icon of this desktop entry ("": on none)."""
        if badge_on != self._badge_on:
            self._show_badge(None)
            self._badge_on = badge_on
            self._show_badge(self._summary)

    def _show_badge(self, summary: Summary | None) -> None:
        if self._bus is not None and self._badge_on:
            self._bus.send(badge_signal(self._badge_on, summary))

    async def _keep(self) -> None:
        try:
            await keep_running("D-Bus service", self._serve_again)
        finally:
            self._tried.set()

    async def _serve_again(self) -> None:
        delay = _FIRST_DELAY_S
        while True:
            try:
                await self._serve()
                delay = _FIRST_DELAY_S
            except _CONNECT_ERRORS as error:
                log.debug("No session bus for the control interface: %s", str(error) or type(error).__name__)
                delay = min(2 * delay, _LONGEST_DELAY_S)
            finally:
                # Also after a fault of our own: `start` waits for the first attempt, and for no more.
                self._tried.set()
            await asyncio.sleep(delay)

    async def _serve(self) -> None:
        """Connects, exports the object, and returns when the connection is gone."""
        address = self._bus_address or session_bus_address()
        if address is None:
            raise OSError("there is none")
        async with asyncio.timeout(_CONNECT_S):
            # With descriptors: the secret of `heliograph verify` comes through a pipe.
            bus = await QuietBus(bus_address=address, negotiate_unix_fd=True).connect()
        gone = start(_disconnected(bus), name="end of a bus connection")
        try:
            self._interface = Daemon1(self._answers, __version__, self._summary)
            # Before the object is exported: handlers run in their order, and a method has to know who called.
            bus.add_message_handler(Peers(ask_over(bus)).note_call)
            for interface in (self._interface, *self._beside):
                bus.export(OBJECT_PATH, interface)
            released = asyncio.Event()
            async with asyncio.timeout(_CONNECT_S):
                # Watched first: the other daemon may give the name up between our request and the watching.
                await self._watch_names(bus, released)
                await self._take_name(bus)
            self._tried.set()
            while not gone.done():
                waiting = start(released.wait(), name="control's name")
                await asyncio.wait([gone, waiting], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if released.is_set():
                    released.clear()
                    async with asyncio.timeout(_CONNECT_S):
                        await self._take_name(bus)
        finally:
            self._show_badge(None)
            self._bus = self._interface = None
            bus.disconnect()
            await asyncio.wait([gone], timeout=_CONNECT_S)

    async def _take_name(self, bus: MessageBus) -> None:
        # Not queued: the end of the other daemon is watched for instead, so that the badge comes with the name.
        reply = await bus.request_name(BUS_NAME, NameFlag.DO_NOT_QUEUE)
        if reply is RequestNameReply.EXISTS:
            log.info("Another Heliograph of yours answers `heliograph status`")
            return
        self._bus = bus
        self._show_badge(self._summary)

    async def _watch_names(self, bus: MessageBus, released: asyncio.Event) -> None:
        def listen(message: Message) -> None:
            is_owner = message.member == "NameOwnerChanged" and message.signature == "sss"
            if not is_owner or message.message_type is not MessageType.SIGNAL or message.sender != DRIVER:
                return
            name, _, owner = message.body
            if name == BUS_NAME and not owner:
                released.set()
            elif name == DOCK_NAME and owner:
                self._show_badge(self._summary)

        bus.add_message_handler(listen)
        for name in (BUS_NAME, DOCK_NAME):
            rule = f"type='signal',sender='{DRIVER}',member='NameOwnerChanged',arg0='{name}'"
            await bus.call(
                Message(
                    destination=DRIVER,
                    path=DRIVER_PATH,
                    interface=DRIVER,
                    member="AddMatch",
                    signature="s",
                    body=[rule],
                )
            )


async def _disconnected(bus: MessageBus) -> None:
    with contextlib.suppress(OSError, EOFError):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
