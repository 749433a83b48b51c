"""What is known before a sync is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum

from heliograph.core.encryption.values import Clear, Locked
from heliograph.core.events import Event, ServerNotification
from heliograph.core.ids import EventId, EventKey, RoomId, UserId
from heliograph.core.popups.privacy import SHOW_ALL, Privacy
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import Verdict
from heliograph.core.record import AccountState, Delivery, LockedEvent, RoomRecord
from heliograph.core.value_type import value_type


class Mode(Enum):
    """Who decides what rings."""

    DIRECT = "direct"
    """The homeserver, by `notifications` in /sync (MSC3361)."""
    LOCAL = "local"
    """We do, by the push rules."""
    BOTH = "both"
    """Either: an event rings if one of the two lets it ring. For a sync in whose list something may be missing."""


@value_type
class Situation:
    """All that a plan may depend on besides the sync itself. The planner of the loop gathers it before."""

    me: str
    mode: Mode
    account: AccountState
    ruleset: Ruleset
    rooms: Mapping[RoomId, RoomRecord] = field(default_factory=dict)
    """Records of the rooms that the sync touches."""
    earlier_ruleset: Ruleset | None = None
    """The push rules from before this sync, if it brings others."""
    unignored: frozenset[UserId] = frozenset()
    """Users who were ignored until this sync. `plan` finds them."""
    listed: Mapping[EventKey, Verdict] = field(default_factory=dict)
    """What rang since the last sync by the homeserver, which judges each event when it comes; by event id."""
    is_list_whole: bool = False
    """True if what is not in `listed` did not ring by the homeserver."""
    fresh_rooms: frozenset[RoomId] = frozenset()
    """Rooms whose facts or names were asked for just now: the plan must keep their records, even if the sync changes
    nothing in them."""
    joined: frozenset[RoomId] = frozenset()
    """The rooms of these that the ledger knows the user to be in (`joining.is_joined`)."""
    open_deliveries: Sequence[Delivery] = ()
    """Unread deliveries of `needs.rooms_changing_deliveries`, in order of position."""
    places: Mapping[EventKey, int] = field(default_factory=dict)
    """Where marks (`reading.marks_in`), and what they may read, stand by the ledger."""
    stretches: Mapping[RoomId, Sequence[Sequence[EventKey]]] = field(default_factory=dict)
    """By room: the stretches of its timeline that the homeserver was asked for, each oldest first."""
    untold: frozenset[EventKey] = frozenset()
    """Ids of the events of which the homeserver did not tell where they stand."""
    filled: Sequence[ServerNotification] = ()
    """What GET /notifications lists of the gaps in timelines."""
    clear: Mapping[EventKey, Clear] = field(default_factory=dict)
    """By event id: the events that were decrypted. In the sync, in `filled` and in `late` they stand decrypted."""
    locked: Mapping[EventKey, Locked] = field(default_factory=dict)
    """By event id: the encrypted events that could not be decrypted."""
    late: Sequence[Event] = ()
    """Events of earlier syncs whose keys came now, decrypted."""
    hopeless: Sequence[EventKey] = ()
    """Ids of events of earlier syncs that cannot be read in spite of their keys."""
    waiting: Sequence[LockedEvent] = ()
    """Events of `needs.rooms_changing_deliveries` that are kept until their keys come."""
    threads: Mapping[EventId, str] = field(default_factory=dict)
    """The names of threads, by the event ids of their roots."""
    subscriptions: Mapping[EventId, bool] = field(default_factory=dict)
    """Whether the user follows these threads, by the event ids of their roots (MSC4306)."""
    privacy: Privacy = SHOW_ALL
    now_ms: int = 0
