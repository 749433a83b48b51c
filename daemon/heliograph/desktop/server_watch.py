"""Which program shows notifications on a session bus at the moment, and what its signals say.

Calls go to the unique name of one life of the server. So a restarted server never sees an id of the one before, which
dunst, Plasma, xfce4-notifyd and lxqt would take over from whatever notification has that id now.
Test: test_a_restarted_server_is_another_one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine

from dbus_fast import Message, MessageType

from heliograph.core.notification import DesktopSignal, DoNotDisturb, ServerChanged
from heliograph.core.popups.profile import SAFE, ServerProfile
from heliograph.desktop import do_not_disturb
from heliograph.desktop.failures import is_starting
from heliograph.desktop.server import INTERFACE, NAME, PATH, Server, Traits
from heliograph.system.dbus import DRIVER, DRIVER_PATH, Bus, BusGone, CallFailed
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long the start waits for a server to say who it is. One that is silent for longer is told of all the same."""
_STARTING_S = 0.2
"""A server that has its name alone is asked again after that."""

_MATCHES = (
    f"type='signal',sender='{NAME}',interface='{INTERFACE}',path='{PATH}'",
    f"type='signal',sender='{DRIVER}',interface='{DRIVER}',path='{DRIVER_PATH}',"
    f"member='NameOwnerChanged',arg0='{NAME}'",
    *do_not_disturb.MATCHES,
)


class ServerWatch:
    """Follows the owner of org.freedesktop.Notifications from one to the next, and tells listeners what it signals.

    Where no server runs but the bus can start one, listeners are told of a server of that kind.
    """

    def __init__(self, address: str, *, timeout_s: float) -> None:
        self.bus = Bus(
            address,
            matches=_MATCHES,
            on_connected=self._meet,
            on_message=self._hear,
            on_lost=self._part,
            timeout_s=timeout_s,
            name="notification server's bus",
        )
        self._timeout_s = timeout_s
        self._bus_id: str | None = None
        self._life: str | None = None
        """What listeners know."""
        self._profile = SAFE
        self._server: Server | None = None
        self._is_activatable = False
        self._owner_changes = 0
        self._why_held = ""
        self._is_held_unknown = False
        self._is_asking = False
        self._listeners: list[Callable[[DesktopSignal], None]] = []
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def bus_id(self) -> str | None:
        """Unlike that of any other bus; None while there is no connection."""
        return self._bus_id

    @property
    def server(self) -> Server | None:
        """The notification server of the moment."""
        return self._server

    @property
    def life(self) -> str | None:
        """What popups are remembered with: the life of the server that has shown them; None: nobody can show one. A
        server that came is told of once it has said who it is, since its life depends on that."""
        return self._life

    @property
    def profile(self) -> ServerProfile:
        """What is known of the server, or of the one before while there is none."""
        return self._profile

    @property
    def title(self) -> str | None:
        """What shows notifications, for people; None: nothing does."""
        if self._server is not None:
            traits = self._server.known_traits
            return traits.title if traits is not None else "a notification server"
        return "a notification server, started when needed" if self._is_activatable else None

    @property
    def why_held(self) -> str:
        """Why popups are held back, as far as that is told; "": they are not."""
        return self._why_held

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        """Calls `listener` at once with the present server, and if popups are held back; then with every signal."""
        self._listeners.append(listener)
        listener(ServerChanged(self._life))
        if self._why_held:
            listener(DoNotDisturb(True))

    async def start(self) -> bool:
        """Returns after the first attempt whether the bus is there; it is looked for until `stop` in any case."""
        is_there = await self.bus.start()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_S)
        if self._server is not None:
            self._set_life(self._server.life)
        return is_there

    async def stop(self) -> None:
        """Lets go of the bus; no listener is called any more."""
        self._listeners.clear()
        await self.bus.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def find_server(self) -> Server | None:
        """The server of the moment, which the bus starts if one is installed that way. Raises CallFailed if that does
        not work, and BusGone."""
        if self._server is None and self._is_activatable:
            await self.bus.call_driver("StartServiceByName", "su", [NAME, 0])
        # The bus tells of the new owner before it answers.
        return self._server

    async def ask(self, server: Server) -> Traits:
        """What the server says of itself; `why_held` holds for it then. Raises CallFailed and BusGone."""
        traits = await server.traits(self.bus)
        if self._server is server:
            self._profile = traits.profile
            self._set_life(server.life)
        await self.ask_why_held(server, traits)
        return traits

    async def ask_why_held(self, server: Server, traits: Traits) -> None:
        """Asks whether popups are held back, for `why_held`. Raises BusGone."""
        why = await do_not_disturb.ask_why_held(self.bus, server.owner, traits.profile.told)
        if self._server is server:
            self._set_held(why)

    # The owner of the name

    async def _meet(self) -> None:
        """A new connection: which bus is it, who serves notifications, or could?"""
        self._bus_id = str(await self.bus.call_driver("GetId"))
        changes = self._owner_changes
        try:
            owner = str(await self.bus.call_driver("GetNameOwner", "s", [NAME]))
        except CallFailed:
            owner = ""
        # A change heard meanwhile is as new as the answer, or newer.
        if changes == self._owner_changes:
            self._change_owner(owner)
        if not self._server:
            await self._look_for_activatable()

    def _part(self) -> None:
        self._change_owner("")
        self._bus_id = None

    async def _look_for_activatable(self) -> None:
        if NAME in await self.bus.call_driver("ListActivatableNames") and self._server is None:
            self._is_activatable = True
            self._set_life(f"{self._bus_id}:on-demand")

    def _change_owner(self, owner: str) -> None:
        self._owner_changes += 1
        if owner == (self._server.owner if self._server else ""):
            return
        self._is_activatable = False
        if owner:
            self._server = Server(life=f"{self._bus_id}{owner}", owner=owner)
            self._start(self._introduce(self._server))
        else:
            self._server = None
            self._set_life(None)
            self._set_held("")
            if self.bus.is_connected:
                log.info("There is no notification server")
            self._start(self._look_again())

    def _start(self, work: Coroutine[None, None, None]) -> None:
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
                traits = await self._ask_started(server)
        except (TimeoutError, BusGone, CallFailed) as error:
            if self._server is server and self.bus.is_connected:
                log.warning("The notification server does not say who it is: %s", str(error) or "no answer")
        else:
            log.info("Notifications go to %s", traits.title)
        if self._server is server:
            self._set_life(server.life)

    async def _ask_started(self, server: Server) -> Traits:
        """As `ask`, for as long as the server has its name and does not answer: so GNOME Shell 43 starts."""
        while True:
            try:
                return await self.ask(server)
            except CallFailed as error:
                if not is_starting(error.name):
                    raise
            await asyncio.sleep(_STARTING_S)

    # What the bus says

    def _hear(self, message: Message) -> None:
        is_signal = message.message_type is MessageType.SIGNAL
        server = self._server
        if is_signal and message.sender == DRIVER:
            # Before its id is known the bus has yet to be asked for the owner, which is newer.
            is_owner = message.member == "NameOwnerChanged" and message.signature == "sss" and message.body[0] == NAME
            if is_owner and self._bus_id is not None:
                self._change_owner(message.body[2])
        elif is_signal and server is not None and do_not_disturb.may_have_changed(message):
            self._ask_again(server)
        elif server is None or message.sender != server.owner:
            # Anyone on the bus can send us a signal directly.
            return
        elif is_signal and message.interface == INTERFACE:
            self._tell_soon(lambda: server.interpret(message))
        elif message.message_type is MessageType.METHOD_RETURN and (popup_id := server.late_popup(message)):
            # Its caller gave up, and will show the same notification again.
            # Test: test_what_comes_up_after_it_was_given_up_is_closed_again.
            self.bus.send(server.owner, PATH, INTERFACE, "CloseNotification", "u", [popup_id])

    def _ask_again(self, server: Server) -> None:
        """One question at a time, and another one after it if there were signals meanwhile."""
        self._is_held_unknown = True
        if not self._is_asking:
            self._is_asking = True
            self._start(self._keep_asking(server))

    async def _keep_asking(self, server: Server) -> None:
        try:
            while self._is_held_unknown and self._server is server:
                self._is_held_unknown = False
                with contextlib.suppress(TimeoutError, BusGone, CallFailed):
                    async with asyncio.timeout(self._timeout_s):
                        await self.ask_why_held(server, await server.traits(self.bus))
        finally:
            self._is_asking = False

    def _set_held(self, why: str) -> None:
        if why != self._why_held:
            self._why_held = why
            log.info("Popups are held back on this desktop: %s" if why else "Popups come up again%s", why)
            change = DoNotDisturb(bool(why))
            self._tell_soon(lambda: change)

    def _set_life(self, life: str | None) -> None:
        if life != self._life:
            self._life = life
            change = ServerChanged(life)
            self._tell_soon(lambda: change)

    def _tell_soon(self, interpret: Callable[[], DesktopSignal | None]) -> None:
        """Tells listeners in order, and only after a call whose answer came before the signal has returned: whoever
        shows a popup has its id before the signals about that popup."""
        asyncio.get_running_loop().call_soon(self._tell, interpret)

    def _tell(self, interpret: Callable[[], DesktopSignal | None]) -> None:
        signal = interpret()
        if signal is not None:
            for listener in tuple(self._listeners):
                listener(signal)
