"""The homeserver as loops use it: requests to it, and its answers as values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from heliograph.core.events import Event, Json, Malformed, ServerNotification, Sync
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.push.rule_change import RuleChange
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.room import RoomFacts
from heliograph.core.value_type import value_type


@value_type
class Features:
    """What the homeserver can do, by its answer to GET /versions."""

    versions: tuple[str, ...] = ()
    has_direct_push: bool = False
    """Direct push (MSC3361): a /sync tells which of its events ring."""
    has_remote_toggle: bool = False
    """MSC3881: pushers have `enabled` and `device_id`, so that one client can switch those of another."""
    has_thread_subscriptions: bool = False
    """MSC4306: the server knows which threads the user follows."""
    software: str | None = None
    """Name of the server software, if it tells (GET /_matrix/federation/v1/version)."""


@value_type
class SyncRequest:
    """One GET /sync. The sync loop chooses the contents; `homeserver.sync_filter` writes them as an inline filter."""

    since: str | None
    """The `next_batch` of the sync before; None: the first sync ever, which asks for no rooms and returns at once."""
    timeout_ms: int
    """How long the homeserver may wait for news before it answers."""
    receipts_in: frozenset[RoomId] | None = frozenset()
    """The rooms of which receipts are wanted, those with an open delivery; None: all rooms, for catching up."""
    event_types: frozenset[str] | None = None
    """The types of timeline events that are wanted; None: all."""
    timeline_limit: int = 20
    """At most so many timeline events of each room; a room with more comes with a gap (`limited`)."""

    @property
    def is_narrow(self) -> bool:
        """True if the request names rooms or event types, which a homeserver may refuse."""
        return self.receipts_in is not None or self.event_types is not None

    def widened(self) -> SyncRequest:
        """The same request for all rooms and event types, without waiting, so that a second refusal shows at once."""
        return replace(self, receipts_in=None, event_types=None, timeout_ms=0)


@value_type
class NotificationsPage:
    """One page of GET /notifications. Most servers list the newest first, but not all: sort by `ts`."""

    notifications: tuple[ServerNotification | Malformed, ...]
    next_token: str | None
    """The `since` of the next page; None: this is the last."""


@value_type
class MessagesPage:
    """One page of GET /rooms/{id}/messages backwards, newest first."""

    events: tuple[Event | Malformed, ...]
    end: str | None
    """The `since` of the next page; None: this is the last."""
    size: int = 0
    """The number of bytes of the answer."""


@value_type
class EventContext:
    """What stands around one event in its room."""

    events: tuple[Event | Malformed, ...]
    """The event itself among them, oldest first."""
    start: str | None
    """The `since` with which GET /messages tells what stands before these; None: the server does not say."""


@value_type
class Member:
    """How a member of a room presents themselves there."""

    name: str | None = None
    avatar_url: str | None = None


class Homeserver(Protocol):
    """The Client-Server API for one signed-in device. Each call is bounded in time and size.

    Each method raises `ServerError` (Unreachable, RateLimited, Refused, LoggedOut) and nothing else.
    """

    user_id: UserId
    device_id: str

    async def features(self) -> Features: ...
    async def whoami(self) -> None:
        """Returns if the homeserver takes our access token, and raises LoggedOut if not."""
        ...

    async def sync(self, request: SyncRequest) -> Sync: ...
    async def push_rules(self) -> Json:
        """The user's push rules as `{"global": {...}}`."""
        ...

    async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        """The complete facts of these rooms, in as few requests as possible. A room is left out if the server refuses
        to tell about it."""
        ...

    async def open_invites(self, room_ids: Collection[RoomId]) -> frozenset[RoomId]:
        """The rooms of these to which the user is invited now, as far as the server tells."""
        ...

    async def member(self, room_id: RoomId, user_id: UserId) -> Member:
        """A blank Member if there is none, or if the user may not look into the room."""
        ...

    async def joined_members(self, room_id: RoomId) -> Mapping[UserId, Member] | None:
        """All who are in the room, the user included; None: the list is too long to be read. Raises Refused if the user
        is not in the room."""
        ...

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        """What rang lately, by the homeserver. `since`: a page's `next_token`, or None for the first page."""
        ...

    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        """Events before `since`, back to `until`. `event_types` as in SyncRequest. Raises Refused if the user may not
        look into the room."""
        ...

    async def event(self, room_id: RoomId, event_id: EventId) -> Event | Malformed:
        """One event. Raises Refused if there is no such event, or the user may not see it."""
        ...

    async def context(
        self, room_id: RoomId, event_id: EventId, *, limit: int, event_types: frozenset[str] | None = None
    ) -> EventContext:
        """The event and up to `limit` others around it, before and after. `event_types` as in SyncRequest: the event
        itself may be of any type. Raises Refused if there is no such event, or the user may not see it."""
        ...

    async def is_subscribed(self, room_id: RoomId, root: EventId) -> bool:
        """Whether the user follows the thread with this root (MSC4306). Raises Refused if the user may not know, or the
        server knows nothing of that."""
        ...

    async def pushers(self) -> tuple[Pusher, ...]: ...
    async def set_pusher(self, pusher: Pusher) -> None: ...
    async def remove_pusher(self, app_id: str, pushkey: str) -> None:
        """Removes this pusher. Returns as well if there was none."""
        ...

    async def drop_connections(self) -> None:
        """Closes all connections, which may be dead after the machine slept, and ends a running poll with Dropped."""
        ...

    async def close(self) -> None: ...


@value_type
class PublishedKeys:
    """The answer to POST /keys/query: signed objects as they came. Nobody has checked their signatures yet."""

    devices: Mapping[str, Mapping[str, Json]]
    """Device keys by user id and device id."""
    master: Mapping[str, Json]
    """Master keys by user id."""
    self_signing: Mapping[str, Json]
    """Self-signing keys by user id."""


@value_type
class BackupVersion:
    """The user's current server-side key backup."""

    version: str
    algorithm: str
    auth_data: Json


class Keys(Protocol):
    """Keys and to-device messages at the homeserver, for one signed-in device. Each call is bounded in time and size.

    Each method raises `ServerError` (Unreachable, RateLimited, Refused, LoggedOut) and nothing else.
    """

    user_id: UserId
    device_id: str

    async def upload_keys(
        self, *, device_keys: Json | None = None, one_time_keys: Json | None = None, fallback_keys: Json | None = None
    ) -> Mapping[str, int]:
        """Publishes our keys. Returns how many one-time keys the server has now, by algorithm; an algorithm that is
        not named there has none."""
        ...

    async def query_keys(self, user_ids: Collection[UserId]) -> PublishedKeys:
        """The published keys of these users. A user is missing if their homeserver did not answer within 10 s."""
        ...

    async def claim_keys(self, devices: Mapping[UserId, Mapping[str, str]]) -> Mapping[str, Mapping[str, Json]]:
        """One one-time key of each device, as `{key id: signed key}` by user id and device id. `devices` has the wanted
        algorithm by user id and device id."""
        ...

    async def upload_signatures(self, signed: Mapping[UserId, Mapping[str, Json]]) -> None:
        """Publishes signed objects, by user id and then device id or public key. Raises Refused unless the server took
        all of them."""
        ...

    async def send_to_device(
        self, type_: str, messages: Mapping[UserId, Mapping[str, Json]], transaction_id: str
    ) -> None:
        """Sends contents, by user id and device id. The homeserver sends a repeated transaction only once."""
        ...

    async def account_data(self, type_: str) -> Json | None:
        """The user's global account data of this type; None if there is none."""
        ...

    async def backup_version(self) -> BackupVersion | None: ...
    async def backed_up_key(self, version: str, room_id: RoomId, session_id: str) -> Json | None:
        """One room key as the backup holds it, with `session_data` encrypted; None if the backup does not have it."""
        ...


@value_type
class Audience:
    """Who may read a message to a room, and how it must be sent. The members are filled in for encrypted rooms only."""

    joined: frozenset[UserId]
    invited: frozenset[UserId] = frozenset()
    """Those who are invited. They get room keys as well, unless `history_visibility` is "joined"."""
    encryption: Json | None = None
    """The content of `m.room.encryption`; None: the room is not encrypted."""
    history_visibility: str = "shared"


class Rooms(Protocol):
    """Sends into rooms. Each method raises ServerError."""

    async def audience(self, room_id: RoomId) -> Audience:
        """Who would read a message to this room now. Raises UserError if an encrypted room has too many members."""
        ...

    async def send(self, room_id: RoomId, type_: str, content: Json, transaction_id: str) -> EventId:
        """Sends an event and returns its id. The homeserver sends a repeated transaction only once."""
        ...


class RoomActions(Protocol):
    """What the user does in rooms by the buttons of a popup. Each method raises ServerError."""

    user_id: UserId

    async def mark_read(self, room_id: RoomId, event_id: EventId, *, is_public: bool) -> None:
        """Marks the room as read up to this event, threads included, in all of the user's clients. `is_public`: the
        other members see that."""
        ...

    async def join(self, room_id: RoomId) -> None:
        """Accepts an invite. For a room on another server, the homeserver may take a minute to answer."""
        ...

    async def leave(self, room_id: RoomId) -> None:
        """Leaves the room, or declines the invite. Returns as well if the user was not in the room."""
        ...

    async def add_direct(self, room_id: RoomId, user_id: UserId) -> None:
        """Marks the room as a conversation with this user (`m.direct`), in all of the user's clients."""
        ...

    async def push_rules(self) -> Json:
        """The user's push rules, the value of `global`."""
        ...

    async def change_push_rules(self, change: RuleChange) -> None: ...
