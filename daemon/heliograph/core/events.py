"""What one /sync brought, as values.

The wire edge decodes each event alone, so a malformed one is a `Malformed` among good ones and never an exception.
Source: Client-Server API, "Syncing" and "Receiving notifications"; MSC3361 for `notifications`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heliograph.core.ids import EventId, EventKey, OwnKey, RoomId, UserId, is_event_id

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A room event. `raw` is the whole JSON object with `room_id` filled in, as the push rules judge it."""

    event_id: EventKey
    """The homeserver's id, or of an invite told without one a key of our own."""
    room_id: RoomId
    type: str
    sender: UserId | OwnKey
    """Nobody (`NOBODY`) of an invite that does not say who invites."""
    origin_server_ts: int
    """Milliseconds since 1970, by the sender's homeserver: never trusted for order."""
    content: Json
    raw: Json
    state_key: str | None = None

    @property
    def thread_root(self) -> EventId | None:
        """The root event's id if this event stands in a thread (`m.thread` relation)."""
        return self._related("m.thread")

    @property
    def replaces(self) -> EventId | None:
        """The event id that this event edits (`m.replace` relation)."""
        return self._related("m.replace")

    @property
    def redacts(self) -> EventId | None:
        """The event id that this `m.room.redaction` removes: top level before room version 11, content since."""
        if self.type != "m.room.redaction":
            return None
        for target in (self.content.get("redacts"), self.raw.get("redacts")):
            if is_event_id(target):
                return target
        return None

    @property
    def is_redacted(self) -> bool:
        """True if the server already sent this event without its content."""
        unsigned = self.raw.get("unsigned")
        return isinstance(unsigned, Mapping) and "redacted_because" in unsigned

    @property
    def relation(self) -> Json:
        """The `m.relates_to` object, or an empty one."""
        relation = self.content.get("m.relates_to")
        return relation if isinstance(relation, Mapping) else {}

    def _related(self, rel_type: str) -> EventId | None:
        relation = self.relation
        target = relation.get("event_id")
        return target if relation.get("rel_type") == rel_type and is_event_id(target) else None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something the server sent that is not what the specification says. Recorded, never raised."""

    where: str
    """Which part of the answer: "timeline", "state", "invite_state", "notifications", "to_device", ..."""
    why: str
    room_id: RoomId | None = None
    event_id: EventKey | None = None
    is_our_fault: bool = False
    """The event is in order, and cannot be judged for a fault of our own."""


@dataclass(frozen=True, slots=True)
class StrippedState:
    """An event of `invite_state`: no id, no time."""

    type: str
    state_key: str
    sender: UserId | OwnKey
    content: Json
    raw: Json
    """The JSON object with `room_id` filled in."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One of the user's own read receipts (public, private or threaded), from any of their devices."""

    room_id: RoomId
    event_id: EventId
    thread_id: str | None = None
    """None: unthreaded, covers everything before it. "main": outside threads. Else the thread's root event id."""


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """`summary` of a joined room. None means that the server did not repeat it."""

    joined_member_count: int | None = None
    invited_member_count: int | None = None
    heroes: tuple[UserId, ...] | None = None


@dataclass(frozen=True, slots=True)
class JoinedRoom:
    """One entry of `rooms.join`."""

    room_id: RoomId
    timeline: tuple[Event | Malformed, ...] = ()
    limited: bool = False
    """The timeline has a gap before it, from where the last sync ended."""
    prev_batch: str | None = None
    state: tuple[Event | Malformed, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    fully_read: EventId | None = None
    notification_count: int | None = None
    """Unread notifications in the room and its threads, as the server counts; None if it did not say."""
    summary: RoomSummary = field(default_factory=RoomSummary)


@dataclass(frozen=True, slots=True)
class InvitedRoom:
    """One entry of `rooms.invite`."""

    room_id: RoomId
    state: tuple[StrippedState | Malformed, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountData:
    """Global account data that changed. None means unchanged."""

    push_rules: Json | None = None
    """Content of `m.push_rules`: `{"global": {...}}`."""
    direct_rooms: frozenset[RoomId] | None = None
    """Rooms named in `m.direct`."""
    ignored_users: frozenset[UserId] | None = None
    is_silenced: bool | None = None
    """MSC3890 local notification settings of our own device."""
    rules_problem: str | None = None
    """Why push rules that came since cannot be used, in words; empty: they can."""


@dataclass(frozen=True, slots=True)
class ServerNotification:
    """An entry of `notifications` (MSC3361) or of GET /notifications: what the server says should ring."""

    event: Event
    actions: tuple[Any, ...]
    ts: int
    """Milliseconds: when the server received the event."""
    is_read: bool


@dataclass(frozen=True, slots=True)
class Sync:
    """One whole answer of GET /sync."""

    next_batch: str
    joined: tuple[JoinedRoom, ...] = ()
    invited: tuple[InvitedRoom, ...] = ()
    left: tuple[RoomId, ...] = ()
    """Rooms that were left, or whose invite was withdrawn or rejected."""
    account_data: AccountData = field(default_factory=AccountData)
    to_device: tuple[bytes, ...] = ()
    """Each to-device event as its raw JSON."""
    notifications: tuple[ServerNotification | Malformed, ...] = ()
    malformed: tuple[Malformed, ...] = ()
    """What was malformed outside rooms' timelines and states."""
    size: int = 0
    """Bytes of the body it was decoded from."""
    one_time_keys: int | None = None
    """Unclaimed one-time keys of this device (`signed_curve25519`) at the server; None if it did not say."""
    has_unused_fallback_key: bool | None = None
    """None if the server did not say."""
    has_changed_devices: bool = False
    """The user's own: a device came, went or was signed, or the identity was set up or reset."""
