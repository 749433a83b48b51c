"""The values that the ledger keeps: judged events, deliveries, popups, rooms, and the account's own state."""

from __future__ import annotations

from dataclasses import field, replace
from enum import Enum

from heliograph.core.delivery import State
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import AccountData, Event, Json
from heliograph.core.ids import EventId, EventKey, OwnKey, RoomId, UserId
from heliograph.core.notification import Category, Popup
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.room import RoomFacts
from heliograph.core.value_type import value_type


class Decision(Enum):
    """The decision about one event."""

    RING = "ring"
    SILENT = "silent"
    MALFORMED = "malformed"


FAULT = "judging it fails, by a fault of Heliograph's own"
"""The reason of an event that was given up since judging it raised an error."""
UNKEPT = "keeping it fails, by a fault of Heliograph's own"
"""The reason of an event that was given up since the ledger could not store it."""
UNLISTED = "not in the homeserver's list"
"""The reason of an event that is silent since the server's list (MSC3361) does not have it. If a later list has the
event, it rings after all."""

GAP = "gap"
"""The kind of the keys (`ids.own_key`) under which the ledger keeps gaps that stay open."""


@value_type
class Judged:
    """The judgement of an event. There is only ever one for each event id."""

    event_id: EventKey
    """Invites, malformed events and gaps have no id of the homeserver's, but `invite:<room id>:<serial>`,
    `malformed:<hash>` and `gap:<hash>`."""
    room_id: RoomId | None
    decision: Decision
    reason: str
    """Why it was decided so, for the user: the rule's id, "own event", "read elsewhere", what was malformed."""
    rule: str | None = None
    sender: UserId | OwnKey | None = None
    thread_root: EventId | None = None
    origin_server_ts: int = 0
    encryption: str = ""
    """Why an encrypted event could not be decrypted, or where its key came from if not from the sender."""


@value_type
class Content:
    """The contents of a delivery. They are erased when the message is read, opened or withdrawn."""

    room_title: str
    sender_name: str
    text: str
    category: Category = Category.MESSAGE
    is_direct: bool = False
    """True for a room of two, or one named in `m.direct`: its messages show the sender's name alone."""
    is_highlight: bool = False
    sound: str | None = None
    markup: str = ""
    """The text as `core.text.markup` writes it; empty if nothing in it is styled."""
    avatar: str | None = None
    """The mxc: URI of the picture: the sender's or the room's."""
    thread: str | None = None
    """What the message's thread is about; "": unknown; None: the message is in no thread."""
    rings_until_ms: int = 0
    """When a call stops ringing by itself, in ms since 1970."""
    can_decline: bool = False
    """True for a call that rings, and that an event declines on all of the user's devices (MSC4310)."""
    call_id: str = ""
    """The id by which the events of a call of two name it."""


@value_type
class Delivery:
    """One event that rings. `position` has the order in which the homeserver told of the events."""

    event_id: EventKey
    room_id: RoomId | OwnKey
    """`NO_ROOM` for a notice of our own that belongs to no room."""
    sender: UserId | OwnKey
    content: Content | None
    thread_root: EventId | None = None
    edits: EventId | None = None
    """The event of which this one is an edit that rings by itself, in place of that event."""
    state: State = State.PENDING
    position: int = 0
    attempts: int = 0
    due_ms: int = 0
    popup_key: str | None = None
    """The key of the popup that shows the message: the room's id, or that of a summary; None: no popup shows it."""
    why: str = ""


@value_type
class EventRecord:
    """All that the ledger knows of one event."""

    judged: Judged
    judged_ms: int
    """When it was judged, in milliseconds since 1970."""
    delivery: Delivery | None = None
    """The event's delivery; None: the event did not ring."""


@value_type
class Withdrawal:
    """A delivery is taken back, whether it is on screen or not yet."""

    event_id: EventKey
    why: str


@value_type
class Edit:
    """A delivery gets another text, without ringing again."""

    event_id: EventKey
    text: str
    markup: str = ""


@value_type
class Rewrite:
    """A delivery gets new contents, since the message was decrypted late. If it waited for that, it is shown now."""

    event_id: EventKey
    content: Content


Change = Withdrawal | Edit | Rewrite


@value_type
class LockedEvent:
    """An encrypted event that is kept until its room key comes."""

    event: Event
    key: RoomKey
    position: int = 0
    """The position of its judgement in the ledger."""

    @property
    def event_id(self) -> EventKey:
        return self.event.event_id

    @property
    def thread_root(self) -> EventId | None:
        return self.event.thread_root


@value_type
class RoomRecord:
    """A room's facts as the ledger keeps them."""

    facts: RoomFacts
    invite_serial: int = 0
    """The number of invites to this room that have ended: with it in the id, a second invite is another event."""


@value_type
class Plan:
    """All that one /sync changes in the ledger. Committed in one transaction, before the next /sync acknowledges it."""

    next_batch: str | None
    """The new sync token; None: the token stays, since more of the same sync follows."""
    judged: tuple[Judged, ...] = ()
    """New judgements, in the order of the timelines. An event id that the ledger knows keeps its first judgement,
    unless that was `UNLISTED` and the event rings now."""
    deliveries: tuple[Delivery, ...] = ()
    """New deliveries, which become PENDING unless the ledger knows the event id."""
    rejudged: tuple[Judged, ...] = ()
    """Judgements that replace earlier ones, of events that were locked. One that rings only now gets a new position."""
    changes: tuple[Change, ...] = ()
    """Changes to deliveries, applied in order after the new ones. One that no longer fits is passed over."""
    rooms: tuple[RoomRecord, ...] = ()
    """Rooms whose record changed. A room that was left has a blank record: its names are forgotten, its judged events
    stay."""
    account_data: AccountData = field(default_factory=AccountData)
    locked: tuple[LockedEvent, ...] = ()
    """Events to keep until their room keys come."""
    unlocked: tuple[EventKey, ...] = ()
    """Ids of events that need not be kept any longer. Applied after `locked`."""
    timelines: tuple[tuple[EventKey, ...], ...] = ()
    """The ids of the events in each room's timeline, in its order, from which they get their places."""
    has_counted: bool = False
    """True if the homeserver counted something as unread."""

    @property
    def is_empty(self) -> bool:
        """True if nothing but the token would change."""
        parts = (self.judged, self.deliveries, self.rejudged, self.changes, self.rooms, self.locked, self.unlocked)
        return not any(parts) and not self.has_counted and self.account_data == AccountData()


@value_type
class AccountState:
    """All that the ledger knows of the account."""

    next_batch: str | None = None
    """The sync token; None: there was no sync yet."""
    push_rules: Json | None = None
    """The last push rules that could be used."""
    rules_problem: str | None = None
    """Why the push rules that came last cannot be used, in words; None: they can."""
    direct_rooms: frozenset[RoomId] = frozenset()
    ignored_users: frozenset[UserId] = frozenset()
    is_silenced: bool = False
    """True if another client silenced this device (MSC3890)."""
    shows_invite_avatars: bool = True
    """False if the user wants no pictures that come with invites (MSC4278), which strangers choose."""
    is_pusher_enabled: bool = True
    """False if another client switched our pusher off (MSC3881)."""
    last_sync_ms: int = 0
    """When the last sync that changed something was committed, in ms since 1970."""
    switched_off: frozenset[PusherKey] = frozenset()
    """The pushers that the handoff has switched off, and must switch on again."""
    fallback: PusherKey | None = None
    """The key under which the fallback's pusher was last registered."""
    has_counted: bool = False
    """True if the homeserver has ever counted something as unread. Some never count."""

    def after(self, changed: AccountData) -> AccountState:
        """The state with this account data. Fields that did not change stay."""
        return replace(
            self,
            push_rules=self.push_rules if changed.push_rules is None else changed.push_rules,
            # "" comes with rules that can be used again, and ends the problem.
            rules_problem=self.rules_problem if changed.rules_problem is None else changed.rules_problem or None,
            direct_rooms=self.direct_rooms if changed.direct_rooms is None else changed.direct_rooms,
            ignored_users=self.ignored_users if changed.ignored_users is None else changed.ignored_users,
            is_silenced=self.is_silenced if changed.is_silenced is None else changed.is_silenced,
            shows_invite_avatars=(
                self.shows_invite_avatars if changed.shows_invite_avatars is None else changed.shows_invite_avatars
            ),
        )


@value_type
class Agenda:
    """All that the delivery loop has to do, by the ledger at one moment."""

    deliveries: tuple[Delivery, ...]
    """The PENDING deliveries that are due, and those SHOWN ones that have to be quoted again: of the popups of the same
    rooms and of stale popups, the newest `popups.LINES` of a room's, and all of a summary. By position."""
    popups: tuple[PopupRecord, ...]
    """All popups on screen."""
    next_ms: int | None
    """When the first of the other PENDING deliveries is due, in ms since 1970; None: there is none."""
    ringing: tuple[Delivery, ...] = ()
    """Some unread calls that ring or have rung, in the order of `Content.rings_until_ms`."""


@value_type
class PopupRecord:
    """A popup that is on screen, as far as the ledger knows."""

    key: str
    """The room's id, or a key of a summary's."""
    popup: Popup
    digest: str
    """A hash of what the popup shows, so that it is sent again only after a change."""
    is_stale: bool = False
    """True if one of its deliveries changed after it was shown."""
    size: int = field(default=0, compare=False)
    """How many deliveries it shows. The ledger counts them when it is read, and does not store this."""
    senders: tuple[str, ...] = field(default=(), compare=False)
    """The names of up to ten who wrote these. Looked up when the ledger is read, as `size` is."""
