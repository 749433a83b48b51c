"""The desktop: where notifications appear, whether the user is there, and how a room is opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import DesktopSignal, Notification, Picture, Popup
from heliograph.core.popups.profile import ServerProfile
from heliograph.core.pushers.handoff import Signs


class Desktop(Protocol):
    """A place where notifications appear. Each call ends within seconds and returns an outcome; none raises."""

    name: str
    """Which kind of place, in the words of the setting `backend`."""

    @property
    def server_name(self) -> str | None:
        """The name of the program that shows notifications at the moment, for people; None while there is none."""
        ...

    @property
    def is_inhibited(self) -> bool:
        """True while the desktop holds popups back, as far as it tells: its own "do not disturb" is on, or ours are
        switched off there."""
        ...

    @property
    def why_inhibited(self) -> str:
        """Why `is_inhibited` is true, in words; "": it is not."""
        ...

    @property
    def profile(self) -> ServerProfile:
        """What is known of the program that shows notifications at the moment, or that showed them last."""
        ...

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        """Calls `listener` with each signal from now on; the first is a ServerChanged that names the present server.
        If popups are held back by now, a DoNotDisturb says so next."""
        ...

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser: ...
    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser: ...
    async def shut(self) -> None:
        """Closes the connection to the bus; popups stay on screen."""
        ...


class Presence(Protocol):
    """Watches for signs that the user is at this desktop. Whether those mean "present" is `core.pushers.handoff`'s."""

    @property
    def signs(self) -> Signs:
        """The signs as they are now."""
        ...

    def listen(self, listener: Callable[[Signs], None]) -> None:
        """Calls `listener` with the signs at once, and again after each change."""
        ...

    @property
    def holds_sleep_up(self) -> bool:
        """True if the machine waits up to some seconds for `let_sleep` before it goes to sleep."""
        ...

    def let_sleep(self) -> None:
        """Lets the machine go to sleep, since everything is handed over. Once it has woken, it waits again."""
        ...

    async def start(self) -> bool:
        """Begins to watch. Returns whether there is a system bus; one that is missing is looked for again."""
        ...

    async def stop(self) -> None:
        """Ends the watching. No listener is called afterwards."""
        ...


class Pictures(Protocol):
    """Pictures of people and rooms."""

    async def fetch(self, uris: Collection[str]) -> Mapping[str, Picture]:
        """Small pictures by their mxc: URI, of those URIs that can be fetched in a short time. Never raises."""
        ...


class Opener(Protocol):
    """Opens a room in the user's Matrix client."""

    async def open(self, room_id: RoomId | None, event_id: EventId | None, token: str | None) -> bool:
        """Opens the room at this event; without a room, only the client. `token`: the activation token of the click,
        with which a Wayland compositor lets the client take the focus. Returns False if nothing could be started."""
        ...
