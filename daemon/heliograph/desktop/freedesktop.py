"""org.freedesktop.Notifications over D-Bus: shows, replaces and closes popups, and tells what becomes of them.

Calls go to the unique name of one life of the server. So a restarted server never sees an id of the one before,
which dunst, Plasma, xfce4-notifyd and lxqt would take over from whatever notification has it now.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path

from dbus_fast import Message, MessageType

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.notification import DesktopSignal, DoNotDisturb, Notification, Popup, ServerChanged
from heliograph.desktop import do_not_disturb
from heliograph.desktop.failures import STARTING_DELAY_S, TROUBLE_DELAY_S, judge_failure
from heliograph.desktop.identity import DESKTOP_ENTRY, ICON_FOLDER, data_file, data_folders
from heliograph.desktop.quirks import adapt
from heliograph.desktop.rendering import SIGNATURE, icon_for, render
from heliograph.desktop.server import INTERFACE, NAME, PATH, Server, Traits
from heliograph.desktop.sounds import Sounds
from heliograph.system.dbus import CALL_TIMEOUT_S, DRIVER, DRIVER_PATH, Bus, BusGone, CallFailed
from heliograph.system.tasks import start_beside

_NOWHERE = Path("/nonexistent")

log = logging.getLogger(__name__)

_MATCHES = (
    f"type='signal',sender='{NAME}',interface='{INTERFACE}',path='{PATH}'",
    f"type='signal',sender='{DRIVER}',interface='{DRIVER}',path='{DRIVER_PATH}',"
    f"member='NameOwnerChanged',arg0='{NAME}'",
    do_not_disturb.MATCH,
)


class FreedesktopDesktop:
    """`ports.Desktop` on a session bus. One for each process; every account's loop may listen to it.

    Signals for popups that this process did not show are passed on too: an earlier one may have shown them.
    Where no server runs but the bus can start one, it tells of a server of that kind, and `show` has it started.
    """

    name = "freedesktop"

    def __init__(self, address: str, *, timeout_s: float = CALL_TIMEOUT_S, sounds: Sounds | None = None) -> None:
        """`sounds`: unless given, sounds are the notification server's matter alone."""
        self._timeout_s = timeout_s
        self._sounds = sounds or Sounds(_NOWHERE, "server")
        self._bus = Bus(
            address,
            matches=_MATCHES,
            on_connected=self._meet,
            on_message=self._hear,
            on_lost=self._part,
            timeout_s=timeout_s,
            name="notification server's bus",
        )
        self._bus_id: str | None = None
        self._server: Server | None = None
        self._is_activatable = False
        self._owner_changes = 0
        self._listeners: list[Callable[[DesktopSignal], None]] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self._icon = DESKTOP_ENTRY
        self._is_inhibited = False

    async def start(self) -> bool:
        """Returns after the first attempt whether the bus is there; it is looked for until `shut` in any case."""
        self._icon = await asyncio.to_thread(_find_icon)
        return await self._bus.start()

    @property
    def server(self) -> Server | None:
        """The notification server of the moment."""
        return self._server

    @property
    def server_name(self) -> str | None:
        if self._server is not None:
            traits = self._server.known_traits
            return traits.title if traits is not None else "a notification server"
        return "a notification server, started when needed" if self._is_activatable else None

    async def traits(self) -> Traits | None:
        """What the server says of itself; it is started if the bus can. None: there is none, or it does not answer.

        `is_inhibited` holds for this server then.
        """
        with contextlib.suppress(TimeoutError, BusGone, CallFailed):
            async with asyncio.timeout(self._timeout_s):
                server = self._server or await self._activate()
                return None if server is None else await self._ask(server)
        return None

    @property
    def is_inhibited(self) -> bool:
        return self._is_inhibited

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        self._listeners.append(listener)
        listener(ServerChanged(self._life))

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser:
        try:
            async with asyncio.timeout(self._timeout_s):
                server = self._server or await self._activate()
                return self._nobody() if server is None else await self._notify(server, notification, replaces)
        except (TimeoutError, BusGone, CallFailed) as error:
            return self._judge(error)

    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser:
        server = self._server
        if server is None and not self._bus.is_connected:
            return self._nobody()
        if server is None or server.life != popup.server:
            # It went with the server that showed it.
            return Done(None)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._bus.call(server.owner, PATH, INTERFACE, "CloseNotification", "u", [popup.id])
        except (TimeoutError, BusGone, CallFailed) as error:
            outcome = self._judge(error)
            # GNOME Shell (InvalidArgs) and notification-daemon (InvalidId) answer so for what is closed already.
            return Done(None) if isinstance(outcome, Declined) else outcome
        return Done(None)

    async def shut(self) -> None:
        self._listeners.clear()
        await self._bus.stop()
        await self._sounds.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def _life(self) -> str | None:
        if self._server is not None:
            return self._server.life
        return f"{self._bus_id}:on-demand" if self._is_activatable else None

    def _nobody(self) -> RetryLater:
        why = "no notification server is running" if self._bus.is_connected else "the session bus is not reachable"
        return RetryLater(None, why)

    def _judge(self, error: Exception) -> RetryLater | Declined:
        is_server_there = self._life is not None
        if isinstance(error, CallFailed):
            return judge_failure(error.name, str(error), is_server_there=is_server_there)
        if isinstance(error, BusGone):
            return RetryLater(STARTING_DELAY_S if is_server_there else None, str(error))
        why = f"the notification server did not answer within {self._timeout_s:g} s"
        return RetryLater(TROUBLE_DELAY_S if is_server_there else None, why)

    async def _notify(self, server: Server, notification: Notification, replaces: Popup | None) -> Done[Popup]:
        traits = await server.traits(self._bus)
        replaces_id = replaces.id if replaces is not None and replaces.server == server.life else 0
        notification = adapt(notification, traits.title)
        sound = await self._sounds.choose(notification)
        is_servers = self._sounds.is_servers(traits.capabilities)
        arguments = render(
            notification,
            traits.capabilities,
            icon=self._icon,
            replaces_id=replaces_id,
            sound=sound if is_servers else None,
        )
        serial = self._bus.next_serial()
        try:
            reply = await self._bus.call(server.owner, PATH, INTERFACE, "Notify", SIGNATURE, arguments, serial=serial)
        except asyncio.CancelledError:
            server.note_abandoned(serial, replaces_id)
            raise
        if reply.signature != "u":
            raise CallFailed("org.freedesktop.DBus.Error.Failed", "Notify was answered without an id")
        popup_id = int(reply.body[0])
        server.note_shown(popup_id)
        if sound is not None and not is_servers and not self._is_inhibited:
            self._sounds.play(sound)
        return Done(Popup(server.life, popup_id))

    async def _activate(self) -> Server | None:
        """Has the bus start a server, if one is installed that way. Raises CallFailed if that does not work."""
        if self._is_activatable:
            await self._bus.call_driver("StartServiceByName", "su", [NAME, 0])
        # The bus tells of the new owner before it answers.
        return self._server

    async def _meet(self) -> None:
        """A new connection: which bus is it, who serves notifications, or could?"""
        self._bus_id = str(await self._bus.call_driver("GetId"))
        changes = self._owner_changes
        try:
            owner = str(await self._bus.call_driver("GetNameOwner", "s", [NAME]))
        except CallFailed:
            owner = ""
        # A change heard meanwhile is as new as the answer, or newer.
        if changes == self._owner_changes:
            self._change_owner(owner)
        if not self._server:
            await self._look_for_activatable()

    async def _look_for_activatable(self) -> None:
        if NAME in await self._bus.call_driver("ListActivatableNames") and self._server is None:
            self._is_activatable = True
            self._tell_life()

    def _part(self) -> None:
        self._change_owner("")
        self._bus_id = None

    def _change_owner(self, owner: str) -> None:
        self._owner_changes += 1
        if owner == (self._server.owner if self._server else ""):
            return
        self._is_activatable = False
        if owner:
            self._server = Server(life=f"{self._bus_id}{owner}", owner=owner)
            self._spawn(self._introduce(self._server))
        else:
            self._server = None
            self._set_inhibited(is_on=False)
            if self._bus.is_connected:
                log.info("There is no notification server")
            self._spawn(self._look_again())
        self._tell_life()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = start_beside(work, name="asking the notification server")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_again(self) -> None:
        with contextlib.suppress(TimeoutError, BusGone, CallFailed):
            async with asyncio.timeout(self._timeout_s):
                await self._look_for_activatable()

    async def _introduce(self, server: Server) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                traits = await self._ask(server)
        except (TimeoutError, BusGone, CallFailed) as error:
            if self._server is server and self._bus.is_connected:
                log.warning("The notification server does not say who it is: %s", str(error) or "no answer")
        else:
            log.info("Notifications go to %s", traits.title)

    async def _ask(self, server: Server) -> Traits:
        traits = await server.traits(self._bus)
        is_inhibited = await do_not_disturb.ask_inhibited(self._bus, server.owner, traits)
        if self._server is server:
            self._set_inhibited(is_on=is_inhibited)
        return traits

    def _set_inhibited(self, *, is_on: bool) -> None:
        if is_on != self._is_inhibited:
            self._is_inhibited = is_on
            log.info("Do not disturb is %s on this desktop", "on" if is_on else "off")
            change = DoNotDisturb(is_on)
            self._tell_soon(lambda: change)

    def _hear(self, message: Message) -> None:
        server = self._server
        if message.message_type is MessageType.SIGNAL and message.sender == DRIVER:
            # Before its id is known the bus has yet to be asked for the owner, which is newer.
            is_owner = message.member == "NameOwnerChanged" and message.signature == "sss" and message.body[0] == NAME
            if is_owner and self._bus_id is not None:
                self._change_owner(message.body[2])
        elif server is None or message.sender != server.owner:
            # Anyone on the bus can send us a signal directly.
            return
        elif message.message_type is MessageType.SIGNAL and message.interface == do_not_disturb.PROPERTIES:
            if (is_on := do_not_disturb.read_inhibited(message.signature, message.body)) is not None:
                self._set_inhibited(is_on=is_on)
        elif message.message_type is MessageType.SIGNAL and message.interface == INTERFACE:
            self._tell_soon(lambda: server.interpret(message))
        elif message.message_type is MessageType.METHOD_RETURN and (popup_id := server.late_popup(message)):
            # It was given up and will be shown again.
            self._bus.send(server.owner, PATH, INTERFACE, "CloseNotification", "u", [popup_id])

    def _tell_life(self) -> None:
        change = ServerChanged(self._life)
        self._tell_soon(lambda: change)

    def _tell_soon(self, interpret: Callable[[], DesktopSignal | None]) -> None:
        """In order, and after a call whose answer came before the signal has returned: ids precede their signals."""
        asyncio.get_running_loop().call_soon(self._tell, interpret)

    def _tell(self, interpret: Callable[[], DesktopSignal | None]) -> None:
        signal = interpret()
        if signal is not None:
            for listener in tuple(self._listeners):
                listener(signal)


def _find_icon() -> str:
    return icon_for([folder / ICON_FOLDER for folder in data_folders()], data_file(f"{DESKTOP_ENTRY}.svg"))
