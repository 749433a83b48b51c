"""org.freedesktop.Notifications over D-Bus: shows, replaces and closes popups, and tells what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.notification import DesktopSignal, Notification, Popup, Urgency
from heliograph.core.popups.profile import ServerProfile, Update
from heliograph.desktop.do_not_disturb import UNTOLD
from heliograph.desktop.failures import STARTING_DELAY_S, TROUBLE_DELAY_S, judge_failure
from heliograph.desktop.identity import DESKTOP_ENTRY, ICON_FOLDER, data_file, data_folders
from heliograph.desktop.rendering import SIGNATURE, icon_for, render_notification
from heliograph.desktop.server import INTERFACE, PATH, Server, Traits
from heliograph.desktop.server_watch import ServerWatch
from heliograph.desktop.sounds import Sounds
from heliograph.system.dbus import CALL_TIMEOUT_S, BusGone, CallFailed

_NOWHERE = Path("/nonexistent")


class FreedesktopDesktop:
    """`ports.Desktop` on a session bus. One for each process; every account's loop may listen to it.

    Signals for popups that this process did not show are passed on too: an earlier one may have shown them.
    Where no server runs but the bus can start one, `show` has it started.
    """

    name = "freedesktop"

    def __init__(self, address: str, *, timeout_s: float = CALL_TIMEOUT_S, sounds: Sounds | None = None) -> None:
        """`address` is the session bus's. `sounds`: unless given, sounds are the notification server's matter alone."""
        self._timeout_s = timeout_s
        self._sounds = sounds or Sounds(_NOWHERE, "server")
        self._watch = ServerWatch(address, timeout_s=timeout_s)
        self._bus = self._watch.bus
        self._icon = DESKTOP_ENTRY

    async def start(self) -> bool:
        """Returns after the first attempt whether the bus is there; it is looked for until `shut` in any case."""
        self._icon = await asyncio.to_thread(_find_icon)
        return await self._watch.start()

    async def shut(self) -> None:
        await self._watch.stop()
        await self._sounds.stop()

    @property
    def server(self) -> Server | None:
        """The notification server of the moment."""
        return self._watch.server

    @property
    def server_name(self) -> str | None:
        return self._watch.title

    @property
    def why_inhibited(self) -> str:
        return self._watch.why_held

    @property
    def is_inhibited(self) -> bool:
        return bool(self._watch.why_held)

    @property
    def profile(self) -> ServerProfile:
        return self._watch.profile

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        self._watch.listen(listener)

    async def traits(self) -> Traits | None:
        """What the notification server says of itself; the bus starts one if it can. None: there is none, or it is
        silent.

        `is_inhibited` holds for this server then.
        """
        with contextlib.suppress(TimeoutError, BusGone, CallFailed):
            async with asyncio.timeout(self._timeout_s):
                server = await self._watch.find_server()
                return None if server is None else await self._watch.ask(server)
        return None

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser:
        if notification.picture is None and self._watch.profile.keeps_old_picture:
            # Loaded here: who draws our icon is needed by few servers, and draws the tray's as well.
            from heliograph.desktop.own_picture import own_picture

            # Before the time runs, which is the server's.
            notification = replace(notification, picture=await asyncio.to_thread(own_picture))
        try:
            async with asyncio.timeout(self._timeout_s):
                server = await self._watch.find_server()
                return self._nobody() if server is None else await self._notify(server, notification, replaces)
        except (TimeoutError, BusGone, CallFailed) as error:
            return self._judge(error)

    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser:
        server = self._watch.server
        if server is None and not self._bus.is_connected:
            return self._nobody()
        if server is None or server.life != popup.server or not popup.id:
            # The popup went with the server that showed it.
            return Done(None)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._call_close(server, popup.id)
        except (TimeoutError, BusGone, CallFailed) as error:
            outcome = self._judge(error)
            # notification-daemon (InvalidId) answers so for what is closed already, and GNOME Shell (InvalidArgs) for
            # what another program has shown: us before our connection to the bus ended, with which it went.
            return Done(None) if isinstance(outcome, Declined) else outcome
        return Done(None)

    def _nobody(self) -> RetryLater:
        why = "no notification server is running" if self._bus.is_connected else "the session bus is not reachable"
        return RetryLater(None, why)

    def _judge(self, error: Exception) -> RetryLater | Declined:
        is_server_there = self._watch.life is not None
        if isinstance(error, CallFailed):
            return judge_failure(error.name, str(error), is_server_there=is_server_there)
        if isinstance(error, BusGone):
            return RetryLater(STARTING_DELAY_S if is_server_there else None, str(error))
        why = f"the notification server did not answer within {self._timeout_s:g} s"
        return RetryLater(TROUBLE_DELAY_S if is_server_there else None, why)

    async def _notify(self, server: Server, notification: Notification, replaces: Popup | None) -> Done[Popup]:
        # A server that did not answer when it came is asked now. After that its life is known, and told.
        # Test: test_a_shell_that_answers_only_after_its_name_is_known_keeps_one_notification_of_a_room.
        traits = server.known_traits or await self._watch.ask(server)
        replaces_id = replaces.id if replaces is not None and replaces.server == server.life else 0
        urgency = traits.profile.urgency(notification)
        notification = replace(notification, urgency=urgency)
        if replaces_id and traits.profile.update(is_update=notification.is_update) is Update.RENEW:
            await self._take_down(server, replaces_id)
            replaces_id = 0
        if traits.profile.told in UNTOLD and not notification.is_update:
            await self._watch.ask_why_held(server, traits)
        sound = await self._sounds.choose(notification)
        for_server = await self._sounds.hand_over(sound, traits.capabilities, traits.profile)
        arguments = render_notification(
            notification,
            traits.capabilities,
            traits.profile,
            icon=self._icon,
            replaces_id=replaces_id,
            sound=for_server,
        )
        # Chosen before the call, so that an answer that comes too late is known by it.
        serial = self._bus.next_serial()
        try:
            reply = await self._bus.call(server.owner, PATH, INTERFACE, "Notify", SIGNATURE, arguments, serial=serial)
        except asyncio.CancelledError:
            # The time is up, or we end. A popup that comes up all the same is closed when its id is told.
            server.note_abandoned(serial, replaces_id)
            raise
        if reply.signature != "u":
            raise CallFailed("org.freedesktop.DBus.Error.Failed", "Notify was answered without an id")
        popup_id = int(reply.body[0])
        server.note_shown(popup_id)
        if replaces_id and popup_id != replaces_id:
            # What was to be replaced is gone, or this server replaces nothing: then it would stand beside the new one.
            # Test: test_where_nothing_is_replaced_the_old_one_is_closed.
            await self._take_down(server, replaces_id)
        # After the popup is up: a notification that is refused makes no sound, and neither does one that is held back.
        is_held = self.is_inhibited and (urgency is not Urgency.CRITICAL or traits.profile.holds_critical)
        if sound is not None and for_server is None and not is_held:
            self._sounds.play(sound)
        return Done(Popup(server.life, popup_id))

    async def _take_down(self, server: Server, popup_id: int) -> None:
        """Closes what another notification takes the place of. It may be closed already."""
        server.note_withdrawn(popup_id)
        with contextlib.suppress(CallFailed):
            await self._call_close(server, popup_id)

    async def _call_close(self, server: Server, popup_id: int) -> None:
        await self._bus.call(server.owner, PATH, INTERFACE, "CloseNotification", "u", [popup_id])


def _find_icon() -> str:
    return icon_for([folder / ICON_FOLDER for folder in data_folders()], data_file(f"{DESKTOP_ENTRY}.svg"))
