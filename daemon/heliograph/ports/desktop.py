"""The desktop: where notifications appear, whether the user is there, and how a room is opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import DesktopSignal, Notification, Picture, Popup
from heliograph.core.pushers.handoff import Signs
from heliograph.core.pushers.pusher import Pusher as Pusher


class Desktop(Protocol):
    """Where notifications appear. Every call ends within seconds, in an outcome, never in an exception."""

    name: str

    @property
    def server_name(self) -> str | None:
        """What shows them at the moment, for people; None while nothing does."""
        ...

    @property
    def is_inhibited(self) -> bool:
        """The desktop's own "do not disturb" is on, as far as it tells: what is shown is only kept in its list."""
        ...

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        """Calls `listener` for every signal from now on; a ServerChanged with the present server comes first."""
        ...

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser: ...
    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser: ...
    async def shut(self) -> None:
        """Let go of the bus; popups stay on screen."""
        ...


class Presence(Protocol):
    """Whether the user is at this desktop, as far as the session tells. It decides nothing."""

    @property
    def signs(self) -> Signs:
        """As they are now."""
        ...

    def listen(self, listener: Callable[[Signs], None]) -> None:
        """Calls `listener` at once, and for every change from now on."""
        ...

    @property
    def holds_sleep_up(self) -> bool:
        """Whether the machine, before it sleeps, waits some seconds for `let_sleep`."""
        ...

    def let_sleep(self) -> None:
        """Everything is handed over. Holds until the machine has slept and woken."""
        ...

    async def start(self) -> bool: ...
    async def stop(self) -> None:
        """No call comes after this."""
        ...


class Pictures(Protocol):
    """Pictures of people and rooms."""

    async def fetch(self, uris: Collection[str]) -> Mapping[str, Picture]:
        """Those of these mxc: URIs that can be had in a short time, small. Never raises."""
        ...


class Opener(Protocol):
    """Opens a room in the user's Matrix client."""

    async def open(self, room_id: RoomId | None, event_id: EventId | None, token: str | None) -> bool: ...
