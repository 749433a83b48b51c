"""The values of one /sync.

The homeserver room decodes each event alone, so that a malformed one is a `Malformed` among good ones, and no
exception. Source: Client-Server API, "Syncing" and "Receiving notifications"; MSC3361 for `notifications`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from heliograph.core.ids import EventId, EventKey, OwnKey, RoomId, UserId, is_event_id
from heliograph.core.value_type import value_type

Json = Mapping[str, Any]


@value_type
class Event:
    """A room event. `raw` is the whole JSON object with `room_id` filled in, as the push rules judge it."""

    event_id: EventKey
    """The homeserver's id; for an invite that came without one, a key of our own."""
    room_id: RoomId
    type: str
    sender: UserId | OwnKey
    """`NOBODY` for an invite that does not say who invites."""
    origin_server_ts: int
    """Milliseconds since 1970 by the sender's homeserver, which may lie: events are never ordered by it."""
    content: Json
    raw: Json
    state_key: str | None = None
    inherited_thread: EventId | None = None
    """The id of the root of the thread that `parent` is in, if that was looked up (`core.sync.threads`)."""

    @property
    def thread_root(self) -> EventId | None:
        """The id of the thread's root, if this event is in a thread, by itself or with its parent."""
        return self.own_thread or self.inherited_thread

    @property
    def own_thread(self) -> EventId | None:
        """The id of the thread's root, if this event itself says that it is in a thread (relation `m.thread`)."""
        return self._related("m.thread")

    @property
    def parent(self) -> EventId | None:
        """The id of the event that this one edits, reacts or otherwise relates to; None: there is none, or a thread's
        root."""
        relation = self.relation
        target, type_ = relation.get("event_id"), relation.get("rel_type")
        is_relation = isinstance(type_, str) and type_ != "m.thread"
        return target if is_relation and is_event_id(target) else None

    @property
    def replaces(self) -> EventId | None:
        """The id of the event that this one edits, if it is an edit (relation `m.replace`)."""
        return self._related("m.replace")

    @property
    def redacts(self) -> EventId | None:
        """The id of the event that this one deletes, if it is an `m.room.redaction`."""
        # In the content since room version 11, at the top level before. Servers may send both for old clients.
        if self.type != "m.room.redaction":
            return None
        for target in (self.content.get("redacts"), self.raw.get("redacts")):
            if is_event_id(target):
                return target
        return None

    @property
    def is_redacted(self) -> bool:
        """True if the event was deleted before the server sent it: its content is gone."""
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


@value_type
class Malformed:
    """A part of an answer that is not as the specification says. Noted as a value, never raised."""

    where: str
    """Which part of the answer: "timeline", "state", "invite_state", "notifications", "to_device", ..."""
    why: str
    room_id: RoomId | None = None
    event_id: EventKey | None = None
    is_our_fault: bool = False
    """True if the event itself is correct, and judging it failed for a fault of ours."""


@value_type
class StrippedState:
    """An event of `invite_state`, which comes without id and time."""

    type: str
    state_key: str
    sender: UserId | OwnKey
    content: Json
    raw: Json
    """The JSON object with `room_id` filled in."""


@value_type
class Receipt:
    """A read receipt of the user's own (public or private), from any of their devices."""

    room_id: RoomId
    event_id: EventId
    thread_id: str | None = None
    """The thread that was read. None: all before the event, threads included. "main": outside of threads. Else the
    id of the thread's root."""


@value_type
class RoomSummary:
    """The `summary` of a joined room. A field is None if the server did not repeat it, since it has not changed."""

    joined_member_count: int | None = None
    invited_member_count: int | None = None
    heroes: tuple[UserId, ...] | None = None


@value_type
class JoinedRoom:
    """One entry of `rooms.join`."""

    room_id: RoomId
    timeline: tuple[Event | Malformed, ...] = ()
    limited: bool = False
    """True if events are missing between the last sync and the beginning of this timeline."""
    gap: str = ""
    """Why events that were missing there could not be had, in words; empty: none is missing that anybody knows of."""
    prev_batch: str | None = None
    """The token from which GET /messages tells the missing events."""
    state: tuple[Event | Malformed, ...] = ()
    is_state_after: bool = False
    """False: `state` is what changed between the last sync and the beginning of this timeline. True: to its end."""
    receipts: tuple[Receipt, ...] = ()
    notification_count: int | None = None
    """The number of unread notifications in the room, by the server's count; None: it did not say. Those of threads are
    in it only if the server does not count these apart."""
    thread_counts: Mapping[str, int] = field(default_factory=dict)
    """The same for threads, by the event ids of their roots, as far as they are counted apart."""
    summary: RoomSummary = field(default_factory=RoomSummary)
    sticky: tuple[Event | Malformed, ...] = ()
    """Sticky events (MSC4354) that are new and not in the timeline. They tell who is in a call even across a gap."""


@value_type
class InvitedRoom:
    """One entry of `rooms.invite`."""

    room_id: RoomId
    state: tuple[StrippedState | Malformed, ...] = ()


@value_type
class AccountData:
    """Global account data that changed. A field is None if it did not change."""

    push_rules: Json | None = None
    """The content of `m.push_rules`: `{"global": {...}}`."""
    direct_rooms: frozenset[RoomId] | None = None
    """All rooms in `m.direct`, the user's conversations with one other person."""
    ignored_users: frozenset[UserId] | None = None
    is_silenced: bool | None = None
    """True if another client silenced this device (MSC3890, local notification settings)."""
    shows_invite_avatars: bool | None = None
    """False if the user wants no pictures that come with invites (MSC4278)."""
    rules_problem: str | None = None
    """Why the push rules that came last cannot be used, in words; "": they can."""


@value_type
class ServerNotification:
    """An entry of `notifications` (MSC3361) or of GET /notifications: an event that rings, by the server's word."""

    event: Event
    actions: tuple[Any, ...]
    ts: int
    """When our server received the event, in ms since 1970."""
    is_read: bool


@value_type
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
    """Malformed parts other than events of timelines and states, which stand there."""
    size: int = 0
    """The number of bytes of the body."""
    one_time_keys: int | None = None
    """How many one-time keys of this device (`signed_curve25519`) the server has left; None: it did not say."""
    has_unused_fallback_key: bool | None = None
    """Whether the server still has an unused fallback key of this device; None: it did not say."""
    has_changed_devices: bool = False
    """True if the user's own devices changed: one came, went or was signed, or the identity was set up or reset."""
