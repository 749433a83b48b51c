"""The homeserver of one account: what is asked of it, and what it answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.core.events import Event, Json, Malformed, ServerNotification, Sync
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.push.changes import RuleChange
from heliograph.core.pushers.pusher import Pusher as Pusher
from heliograph.core.room import RoomFacts


@dataclass(frozen=True, slots=True)
class Features:
    """What GET /versions told."""

    versions: tuple[str, ...] = ()
    has_direct_push: bool = False
    """MSC3361: `org.matrix.msc3361`, or the stable name."""
    has_remote_toggle: bool = False
    """MSC3881: pushers have `enabled` and `device_id`."""
    software: str | None = None
    """Name of the server software, where it tells (GET /_matrix/federation/v1/version)."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What to ask of GET /sync. Built by the sync loop, written as an inline filter by the homeserver edge."""

    since: str | None
    """None: the first sync ever, which asks for no rooms and returns at once."""
    timeout_ms: int
    receipts_in: frozenset[RoomId] | None = frozenset()
    """Rooms whose receipts are wanted (those with an open delivery); None: every room, for catching up."""
    event_types: frozenset[str] | None = None
    """Timeline event types wanted; None: all."""
    timeline_limit: int = 20

    @property
    def is_narrow(self) -> bool:
        """Whether it names rooms or event types, which a homeserver may refuse."""
        return self.receipts_in is not None or self.event_types is not None

    def widened(self) -> SyncRequest:
        """The same for all rooms and event types, and without waiting: whether it is refused shows at once."""
        return replace(self, receipts_in=None, event_types=None, timeout_ms=0)


@dataclass(frozen=True, slots=True)
class NotificationsPage:
    """One page of GET /notifications, newest first on most servers: sort by `ts`."""

    notifications: tuple[ServerNotification | Malformed, ...]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class MessagesPage:
    """One page of GET /rooms/{id}/messages backwards, newest first."""

    events: tuple[Event | Malformed, ...]
    end: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """How a member of a room presents themselves there."""

    name: str | None = None
    avatar_url: str | None = None


class Homeserver(Protocol):
    """The Client-Server API for one signed-in device. Every call is bounded in time and size.

    Every method raises `ServerError` (Unreachable, RateLimited, Refused, LoggedOut) and nothing else.
    """

    user_id: UserId
    device_id: str

    async def features(self) -> Features: ...
    async def whoami(self) -> None:
        """Returns if the access token is good."""
        ...

    async def sync(self, request: SyncRequest) -> Sync: ...
    async def push_rules(self) -> Json:
        """`{"global": {...}}`."""
        ...

    async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        """Complete facts of the rooms the server would tell about, in as few requests as possible. A room that it
        refuses to tell about is left out."""
        ...

    async def open_invites(self, room_ids: Collection[RoomId]) -> frozenset[RoomId]:
        """Those of these rooms that the user is invited to now, as far as the server tells."""
        ...

    async def member(self, room_id: RoomId, user_id: UserId) -> Member:
        """Blank if there is none, or the room is not ours to look into."""
        ...

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage: ...
    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        """`event_types` as in SyncRequest. Raises Refused if the room is not ours to look into."""
        ...

    async def event(self, room_id: RoomId, event_id: EventId) -> Event | Malformed:
        """Raises Refused if there is no such event, or none that the user may see."""
        ...

    async def pushers(self) -> tuple[Pusher, ...]: ...
    async def set_pusher(self, pusher: Pusher) -> None: ...
    async def remove_pusher(self, app_id: str, pushkey: str) -> None:
        """There is none of this name afterwards."""
        ...

    async def drop_connections(self) -> None:
        """Close pooled connections, which may be half-open after suspend, and end a running poll with Unreachable."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What POST /keys/query told: signed objects as they came, whose signatures nobody has checked yet."""

    devices: Mapping[str, Mapping[str, Json]]
    """By user id and device id."""
    master: Mapping[str, Json]
    """By user id, as below."""
    self_signing: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class BackupVersion:
    """The user's current server-side key backup."""

    version: str
    algorithm: str
    auth_data: Json


class Keys(Protocol):
    """Keys and to-device messages at the homeserver, for one signed-in device. Every call is bounded in time and size.

    Every method raises `ServerError` (Unreachable, RateLimited, Refused, LoggedOut) and nothing else.
    """

    user_id: UserId
    device_id: str

    async def upload_keys(
        self, *, device_keys: Json | None = None, one_time_keys: Json | None = None, fallback_keys: Json | None = None
    ) -> Mapping[str, int]:
        """How many one-time keys the server has now, by algorithm; one that is absent has none."""
        ...

    async def query_keys(self, user_ids: Collection[UserId]) -> PublishedKeys:
        """Users whose homeserver did not answer in ten seconds are missing."""
        ...

    async def claim_keys(self, devices: Mapping[UserId, Mapping[str, str]]) -> Mapping[str, Mapping[str, Json]]:
        """One-time keys (`{key id: signed key}`) of devices, by user id and device id; `devices` names algorithms."""
        ...

    async def upload_signatures(self, signed: Mapping[UserId, Mapping[str, Json]]) -> None:
        """Signed objects by user id and device id or public key. Refused if the server took not all of them."""
        ...

    async def send_to_device(
        self, type_: str, messages: Mapping[UserId, Mapping[str, Json]], transaction_id: str
    ) -> None:
        """Contents by user id and device id. The same transaction again is sent once."""
        ...

    async def account_data(self, type_: str) -> Json | None:
        """The user's global account data of this type; None if there is none."""
        ...

    async def backup_version(self) -> BackupVersion | None: ...
    async def backed_up_key(self, version: str, room_id: RoomId, session_id: str) -> Json | None:
        """One room key as the backup holds it (`session_data` is encrypted); None if it holds none."""
        ...


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may read what is sent into a room, and how it must be sent. Members are told of encrypted rooms only."""

    joined: frozenset[UserId]
    invited: frozenset[UserId] = frozenset()
    encryption: Json | None = None
    """Content of `m.room.encryption`; None: the room is not encrypted."""
    history_visibility: str = "shared"


class Rooms(Protocol):
    """Sending into a room. Every method raises ServerError."""

    async def audience(self, room_id: RoomId) -> Audience:
        """Raises UserError for an encrypted room of too many."""
        ...

    async def send(self, room_id: RoomId, type_: str, content: Json, transaction_id: str) -> EventId:
        """The event's id. The same transaction again is sent once."""
        ...


class RoomActions(Protocol):
    """What the user does in rooms by the buttons of a popup. Every method raises ServerError."""

    user_id: UserId

    async def mark_read(self, room_id: RoomId, event_id: EventId, *, is_public: bool) -> None:
        """Up to this event, threads included, in all of the user's clients."""
        ...

    async def join(self, room_id: RoomId) -> None:
        """Accepts an invite; a room on another server may take a minute."""
        ...

    async def leave(self, room_id: RoomId) -> None:
        """Leaves the room, or declines the invite. It is none of the user's rooms afterwards."""
        ...

    async def add_direct(self, room_id: RoomId, user_id: UserId) -> None:
        """The room is a conversation with this user (m.direct), in all of the user's clients."""
        ...

    async def push_rules(self) -> Json:
        """The `global` ones."""
        ...

    async def change_push_rules(self, change: RuleChange) -> None: ...
