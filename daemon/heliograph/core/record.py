"""What the ledger keeps: every event judged, every delivery, every popup, the account's own state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from heliograph.core.delivery import State
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import AccountData, Event, Json
from heliograph.core.ids import EventId, EventKey, OwnKey, RoomId, UserId
from heliograph.core.notification import Category, Popup
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.room import RoomFacts


class Decision(Enum):
    """What was decided on one event."""

    RING = "ring"
    SILENT = "silent"
    MALFORMED = "malformed"


FAULT = "judging it fails, by a fault of Heliograph's own"
"""Why an event was given up that is in order itself."""
UNKEPT = "keeping it fails, by a fault of Heliograph's own"
"""The same, of one that the ledger cannot take."""
UNLISTED = "not in the homeserver's list"
"""Why an event is silent that the server has not listed (MSC3361). It may yet: then it rings after all."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An event that was looked at, and what came of it. One for each event id, ever."""

    event_id: EventKey
    """An invite has none of its own: `invite:<room id>:<serial>`. Malformed ones: `malformed:<hash>`."""
    room_id: RoomId | None
    decision: Decision
    reason: str
    """Why, for the user: the rule's id, "own event", "read elsewhere", what was malformed."""
    rule: str | None = None
    sender: UserId | OwnKey | None = None
    thread_root: EventId | None = None
    origin_server_ts: int = 0
    encryption: str = ""
    """Of an encrypted one: why it could not be read, or where its key came from if not from its sender."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a delivery says. Erased when it is read, opened or withdrawn."""

    room_title: str
    sender_name: str
    text: str
    category: Category = Category.MESSAGE
    is_direct: bool = False
    """A room of two or one named in m.direct: shown by the sender's name alone."""
    is_highlight: bool = False
    sound: str | None = None
    markup: str = ""
    """The text as `core.text.markup` writes it; empty if nothing in it is styled."""
    avatar: str | None = None
    """mxc: URI of the picture that goes with it: the sender's, or the room's."""
    thread: str | None = None
    """What the thread is about that it stands in; "" if nobody knows, None if it stands in none."""
    rings_until_ms: int = 0
    """Of a call: when it stops to ring by itself, in ms since 1970."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event that rings. `position` orders deliveries as the homeserver ordered their events."""

    event_id: EventKey
    room_id: RoomId | OwnKey
    """`NO_ROOM` of what is none's."""
    sender: UserId | OwnKey
    content: Content | None
    thread_root: EventId | None = None
    state: State = State.PENDING
    position: int = 0
    attempts: int = 0
    due_ms: int = 0
    popup_key: str | None = None
    """Which popup shows it: the room's id, or a summary's key."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """What the ledger knows of one event."""

    judged: Judged
    judged_ms: int
    """When it was judged, in milliseconds since 1970."""
    delivery: Delivery | None = None
    """None: it did not ring."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Take a delivery back, whether it is on screen yet or not."""

    event_id: EventKey
    why: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Say something else in its place, silently."""

    event_id: EventKey
    text: str
    markup: str = ""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Say all of it anew: it can be read now. One that waited to be shown waits no longer."""

    event_id: EventKey
    content: Content


Change = Withdrawal | Edit | Rewrite


@dataclass(frozen=True, slots=True)
class LockedEvent:
    """An encrypted event that is kept until its key comes."""

    event: Event
    key: RoomKey
    position: int = 0
    """As the ledger has it in `judged`."""

    @property
    def event_id(self) -> EventKey:
        return self.event.event_id

    @property
    def thread_root(self) -> EventId | None:
        return self.event.thread_root


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """A room's facts as the ledger keeps them."""

    facts: RoomFacts
    invite_serial: int = 0
    """Counts invites that ended, so that a second invite to the same room rings again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one /sync changes, committed in one transaction before the next /sync acknowledges it."""

    next_batch: str | None
    """None: the token stays, since more of the same sync is to come."""
    judged: tuple[Judged, ...] = ()
    """In the order of the timelines. An event id that the ledger knows keeps its first judgement, unless that was
    `UNLISTED` and it rings now."""
    deliveries: tuple[Delivery, ...] = ()
    """To become PENDING, unless the ledger knows the event id."""
    rejudged: tuple[Judged, ...] = ()
    """In place of earlier judgements of events that were locked. One that rings only now is placed anew."""
    changes: tuple[Change, ...] = ()
    """Applied after the deliveries, in order; one that no longer fits its delivery is passed over."""
    rooms: tuple[RoomRecord, ...] = ()
    """Rooms whose record changed. One that was left has blank facts, which forget its names; its judged events stay."""
    account_data: AccountData = field(default_factory=AccountData)
    locked: tuple[LockedEvent, ...] = ()
    """To be kept until their keys come."""
    unlocked: tuple[EventKey, ...] = ()
    """Event ids that need no longer be kept for that. Applied after `locked`."""

    @property
    def is_empty(self) -> bool:
        """Nothing but the token would change."""
        parts = (self.judged, self.deliveries, self.rejudged, self.changes, self.rooms, self.locked, self.unlocked)
        return not any(parts) and self.account_data == AccountData()


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the ledger knows of the account."""

    next_batch: str | None = None
    push_rules: Json | None = None
    """The last that could be used."""
    rules_problem: str | None = None
    """Why those that came since cannot be used, in words."""
    direct_rooms: frozenset[RoomId] = frozenset()
    ignored_users: frozenset[UserId] = frozenset()
    is_silenced: bool = False
    """MSC3890: another client silenced this device."""
    is_pusher_enabled: bool = True
    """MSC3881: another client switched our pusher off."""
    last_sync_ms: int = 0
    """When the last sync that changed something was committed."""
    switched_off: frozenset[PusherKey] = frozenset()
    """Pushers that the handoff switched off."""
    fallback: PusherKey | None = None
    """The fallback's pusher as it was registered last."""

    def after(self, changed: AccountData) -> AccountState:
        """The state once this account data holds; what did not change stays."""
        return replace(
            self,
            push_rules=self.push_rules if changed.push_rules is None else changed.push_rules,
            rules_problem=self.rules_problem if changed.rules_problem is None else changed.rules_problem or None,
            direct_rooms=self.direct_rooms if changed.direct_rooms is None else changed.direct_rooms,
            ignored_users=self.ignored_users if changed.ignored_users is None else changed.ignored_users,
            is_silenced=self.is_silenced if changed.is_silenced is None else changed.is_silenced,
        )


@dataclass(frozen=True, slots=True)
class Agenda:
    """What the delivery loop has to do, as the ledger has it at one moment."""

    deliveries: tuple[Delivery, ...]
    """The PENDING ones that are due, and of those SHOWN in a popup they touch (the same room's, or a stale one) what
    it quotes: a room's newest `popups.LINES`, all of a summary. In order of position."""
    popups: tuple[PopupRecord, ...]
    """All on screen."""
    next_ms: int | None
    """When the first of the other PENDING deliveries is due."""
    ringing: tuple[Delivery, ...] = ()
    """Unread calls that ring or have rung, by `Content.rings_until_ms`: a few."""


@dataclass(frozen=True, slots=True)
class PopupRecord:
    """A popup that the ledger believes to be on screen."""

    key: str
    popup: Popup
    digest: str
    """Of what it shows, so that only a change is sent again."""
    is_stale: bool = False
    """One of its deliveries changed since it was shown."""
    size: int = field(default=0, compare=False)
    """How many deliveries it shows. The ledger counts them; what is written here is not kept."""
    senders: tuple[str, ...] = field(default=(), compare=False)
    """Names of some who wrote these, at most ten. The ledger looks for them, too."""
