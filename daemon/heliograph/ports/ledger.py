"""The ledger as loops use it: what an account remembers of events, deliveries, popups and rooms."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from heliograph.core.delivery import Move
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventKey, RoomId, UserId
from heliograph.core.popups.quiet import Through
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.record import (
    AccountState,
    Agenda,
    Change,
    Delivery,
    LockedEvent,
    Plan,
    PopupRecord,
    RoomRecord,
)
from heliograph.core.summary.unread import UnreadRoom
from heliograph.core.value_type import value_type


@value_type
class Settlement:
    """One move of a delivery (`core.delivery`), which the desktop or the user caused."""

    event_id: EventKey
    move: Move
    due_ms: int = 0
    """With Move.FAILED: when to try again, in ms since 1970."""
    why: str = ""
    """The reason, for `heliograph explain`."""


@value_type
class Committed:
    """What a commit left in the ledger."""

    new: int
    """Number of deliveries that were not known before."""
    open_rooms: frozenset[RoomId]
    """The rooms that `Ledger.rooms_with_open_deliveries` would return now."""


class Ledger(Protocol):
    """The account's memory. Each method is one transaction, and raises StorageError if the disk fails, or UserError if
    the file is damaged. Times are in ms since 1970."""

    async def account(self) -> AccountState: ...
    async def set_pusher_enabled(self, is_enabled: bool) -> None: ...
    async def set_switched_off(self, keys: Collection[PusherKey]) -> None:
        """Replaces the list of pushers that the handoff has switched off, and must switch on again."""
        ...

    async def set_fallback(self, key: PusherKey | None) -> None:
        """Remembers under which key the fallback's pusher was last registered; None: it is removed."""
        ...

    async def rooms(self, room_ids: Collection[RoomId], names_of: Collection[UserId]) -> dict[RoomId, RoomRecord]:
        """The rooms of these that the ledger knows, each with the display names that it knows of `names_of`."""
        ...

    async def open_deliveries(self, room_ids: Collection[RoomId]) -> list[Delivery]:
        """Unread deliveries of these rooms (`core.delivery.OPEN_STATES`), in the order in which they came."""
        ...

    async def rooms_open_by(self, senders: Collection[UserId]) -> frozenset[RoomId]:
        """Rooms with an open delivery by one of these users, invites included, or with events that wait for their room
        keys, whoever sent those."""
        ...

    async def rooms_with_open_deliveries(self) -> frozenset[RoomId]:
        """Rooms with deliveries that a receipt of another device could settle, including events that wait for their
        room keys. Invites and our own notices have no receipts, so they do not count."""
        ...

    async def positions(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        """The position of each judged event among these: a greater one came later. Unknown events are left out."""
        ...

    async def places(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        """Where each of these events stands, as far as timelines have told (`Plan.timelines`): of two in one room the
        one with the greater place stands below the other."""
        ...

    async def threads(self, event_ids: Collection[EventKey]) -> dict[EventKey, str]:
        """The thread of each judged event among these: the id of its root, or `core.reading.MAIN`."""
        ...

    async def locked_events(self, keys: Collection[RoomKey] | None) -> list[LockedEvent]:
        """Events that wait for one of these room keys (None: for any key), in the order in which they came."""
        ...

    async def locked_in(self, room_ids: Collection[RoomId]) -> list[LockedEvent]:
        """Events of these rooms that wait for their room keys."""
        ...

    async def commit(self, plan: Plan, now_ms: int) -> Committed:
        """Writes the whole plan and the sync token, or nothing. Raises Unstorable if a value cannot be stored."""
        ...

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        """What there is to show now. With `through`, only what may pop up in spite of quiet.

        A PENDING delivery is due if its time has come by `now_ms`. One that is put off until after `latest_ms` is due
        as well: no delivery is put off for so long, so the clock was wrong then."""
        ...

    async def popups(self) -> list[PopupRecord]: ...
    async def shown_in(self, key: str) -> list[Delivery]:
        """The deliveries that this popup shows (State.SHOWN), in the order in which they came."""
        ...

    async def settle(
        self,
        settlements: Sequence[Settlement],
        *,
        shown: PopupRecord | None = None,
        closed: str | None = None,
    ) -> None:
        """Moves deliveries to their next state. `shown` replaces the record of a popup, and Move.SHOWN and
        Move.REPLACED put their deliveries into that popup; `closed` is the key of a popup that is gone.

        A move that no longer fits its delivery's state is passed over: a sync may have settled it meanwhile."""
        ...

    async def forget_popup_ids(self, server: str | None, *, is_shown_again: bool = False) -> None:
        """Forgets the ids of all popups but those of this life of the notification server (None: of all). Another
        server, or the same one after a restart, would take such an id for that of somebody else's notification.

        With `is_shown_again` these popups stay, stale and with the id 0, so that they are shown anew."""
        ...

    async def counts(self) -> dict[str, int]:
        """The number of deliveries in each state, by the state's value, for `heliograph status`."""
        ...

    async def unread(self, messages: int = 0) -> tuple[UnreadRoom, ...]:
        """Rooms with unread deliveries, the one with the newest first; each with up to `messages` of its newest."""
        ...

    async def erase_history(self, *, with_unread: bool = False) -> int:
        """Forgets the contents of all deliveries that are read; `with_unread`: also of those that are unread and
        neither wait nor are on screen. Event ids stay, so that none rings again. Returns the number of deliveries."""
        ...

    async def change(self, changes: Sequence[Change]) -> None:
        """Makes changes to deliveries that no sync caused. One that no longer fits its delivery is passed over."""
        ...

    async def mutes(self) -> list[TimedMute]:
        """Rooms that are muted for a time, the one that ends first at the front."""
        ...

    async def keep_mute(self, mute: TimedMute) -> None:
        """Remembers this mute, in place of an earlier one of the same room."""
        ...

    async def forget_mute(self, room_id: RoomId) -> None: ...
    async def prune(self, before_ms: int) -> None:
        """Forgets judged events, settled deliveries, unused display names and deliveries that are SHOWN in no known
        popup, if they are older than that; then rooms of which nothing is left."""
        ...

    async def close(self) -> None: ...
