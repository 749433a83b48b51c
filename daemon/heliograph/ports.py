"""What the loops need of the world. Each port has one contract suite in tests/contract, which fakes pass too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.core.delivery import Declined, Done, Move, NeedsUser, RetryLater
from heliograph.core.encryption import Clear, KeyUpload, Locked, RoomKey, Taken
from heliograph.core.events import Event, Json, Malformed, ServerNotification, Sync
from heliograph.core.handoff import Signs
from heliograph.core.ids import EventId, EventKey, RoomId, UserId
from heliograph.core.notification import DesktopSignal, Notification, Picture, Popup
from heliograph.core.push.changes import Change as RuleChange
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.pusher import Pusher as Pusher
from heliograph.core.pusher import PusherKey
from heliograph.core.quiet import Through
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
from heliograph.core.room import RoomFacts
from heliograph.core.unread import UnreadRoom


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


class Encryption(Protocol):
    """Our device's keys, and those that open others' messages. Each method is one transaction, and raises StorageError
    if the disk fails, but nothing for what strangers send."""

    async def take(self, to_device: Sequence[bytes]) -> Taken:
        """Commits what to-device events bring, before /sync acknowledges (and the server deletes) them. An event that
        was taken before is passed over."""
        ...

    async def decrypt(self, events: Sequence[Event]) -> list[Clear | Locked]:
        """What each of these `m.room.encrypted` events says."""
        ...

    async def keys_to_upload(self, *, one_time_keys: int, is_fallback_used: bool, now_ms: int) -> KeyUpload:
        """What our device is to publish, on disk before it is returned; the same again until it is confirmed.

        `one_time_keys`: how many the server has. `is_fallback_used`: it says that the fallback key was."""
        ...

    async def confirm_upload(self, *, is_device_published: bool) -> None:
        """What was last to be published is not sent again. `is_device_published`: the device's own keys neither."""
        ...

    async def close(self) -> None: ...


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


class PushRelay(Protocol):
    """A relay that is a gateway only, and waits with pushes for what we have shown."""

    async def acknowledge(self, event_ids: Collection[EventId], present_ms: int) -> None:
        """These need not ring elsewhere, and we are here for so long; 0: the user is not. Raises ServerError."""
        ...


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


class Troubles(Protocol):
    """Where the user is told of trouble (`notices.Notices`)."""

    def tell(self, title: str, hint: str, *, about: str = "") -> None:
        """What is wrong, and what to do. `about` names trouble that lasts, and is told once until it is withdrawn."""
        ...

    def withdraw(self, about: str) -> None:
        """It is over: the next time is told anew. Nothing if it was not told."""
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


class SecretStore(Protocol):
    """Where an account's secrets live: one JSON text by user id."""

    name: str

    async def load(self, user_id: str) -> str | None:
        """None: there is none. Raises SecretsLocked, or UserError if the store cannot be used at all."""
        ...

    async def wait_unlocked(self, user_id: str) -> None:
        """Returns once `load` has a chance again. At once for stores that know no lock."""
        ...

    async def save(self, user_id: str, secret: str) -> None: ...
    async def delete(self, user_id: str) -> None: ...
