"""The account's memory, and what became of what it holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph.core.delivery import Move
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventKey, RoomId, UserId
from heliograph.core.popups.quiet import Through
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.pushers.pusher import Pusher as Pusher
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


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one delivery at the desktop."""

    event_id: EventKey
    move: Move
    due_ms: int = 0
    """With Move.FAILED: when to try again."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit left in the ledger."""

    new: int
    """Deliveries that were not known before."""
    open_rooms: frozenset[RoomId]
    """As `Ledger.rooms_with_open_deliveries`."""


class Ledger(Protocol):
    """The account's memory. Each method is one transaction; each raises StorageError if the disk fails."""

    async def account(self) -> AccountState: ...
    async def set_pusher_enabled(self, is_enabled: bool) -> None: ...
    async def set_switched_off(self, keys: Collection[PusherKey]) -> None:
        """The pushers that the handoff switched off, instead of those before."""
        ...

    async def set_fallback(self, key: PusherKey | None) -> None:
        """The fallback's pusher as it was registered last."""
        ...

    async def rooms(self, room_ids: Collection[RoomId], names_of: Collection[UserId]) -> dict[RoomId, RoomRecord]:
        """Known rooms among these; each with the known display names of `names_of`."""
        ...

    async def open_deliveries(self, room_ids: Collection[RoomId]) -> list[Delivery]:
        """Unread deliveries (`core.delivery.OPEN_STATES`) of these rooms, in order of position."""
        ...

    async def rooms_with_open_deliveries(self) -> frozenset[RoomId]:
        """Rooms with something that reading elsewhere could settle: what waits for its key, too, and neither invites
        nor notices of our own."""
        ...

    async def positions(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        """Positions of the judged events among these."""
        ...

    async def locked_events(self, keys: Collection[RoomKey] | None) -> list[LockedEvent]:
        """Events that are kept until one of these keys comes (None: any key), in order of position."""
        ...

    async def locked_in(self, room_ids: Collection[RoomId]) -> list[LockedEvent]:
        """Events of these rooms that are kept until their keys come."""
        ...

    async def commit(self, plan: Plan, now_ms: int) -> Committed:
        """Everything of the plan, or nothing."""
        ...

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        """What there is to show, or with `through` what there is in spite of quiet. Due are PENDING deliveries whose
        time has come by `now_ms`, and those that would not come before `latest_ms`, if that is given: they were put off
        by a clock that was wrong."""
        ...

    async def popups(self) -> list[PopupRecord]: ...
    async def shown_in(self, key: str) -> list[Delivery]:
        """SHOWN deliveries of this popup, in order of position."""
        ...

    async def settle(
        self,
        settlements: Sequence[Settlement],
        *,
        shown: PopupRecord | None = None,
        closed: str | None = None,
    ) -> None:
        """Moves of deliveries; `shown` replaces the record of its popup (and is where Move.SHOWN and Move.REPLACED
        put their deliveries), `closed` is the key of a popup that is gone. Moves that no longer fit are passed over."""
        ...

    async def forget_popup_ids(self, server: str | None) -> None:
        """The notification server changed: popups of any other life are unknown ids now (ServerRestarted)."""
        ...

    async def counts(self) -> dict[str, int]:
        """Deliveries by state's value, for `heliograph status`."""
        ...

    async def unread(self, messages: int = 0) -> tuple[UnreadRoom, ...]:
        """Rooms with something unread, the one with the newest first; each with as many of its newest messages."""
        ...

    async def erase_history(self, *, with_unread: bool = False) -> int:
        """Forget all that rang and is no longer unread, or neither waits nor is on screen, but for event ids. How many
        rang among it."""
        ...

    async def change(self, changes: Sequence[Change]) -> None:
        """What changes without a sync. One that no longer fits its delivery is passed over."""
        ...

    async def mutes(self) -> list[TimedMute]:
        """Rooms that are mute for a time, the one that ends first first."""
        ...

    async def keep_mute(self, mute: TimedMute) -> None:
        """Instead of that of the same room, if there is one."""
        ...

    async def forget_mute(self, room_id: RoomId) -> None: ...
    async def prune(self, before_ms: int) -> None:
        """Forget judged events, settled deliveries, unused names, and deliveries SHOWN by no known popup, that are
        older; and rooms of which nothing at all is known any longer."""
        ...

    async def close(self) -> None: ...
