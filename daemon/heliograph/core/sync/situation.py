"""What was known before a sync."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from heliograph.core.encryption.values import Clear, Locked
from heliograph.core.events import Event, ServerNotification
from heliograph.core.ids import EventId, EventKey, RoomId
from heliograph.core.popups.privacy import SHOW_ALL, Privacy
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, Delivery, LockedEvent, RoomRecord


class Mode(Enum):
    """Who says what rings."""

    DIRECT = "direct"
    """The server, by `notifications` in /sync (MSC3361)."""
    LOCAL = "local"
    """We, by the push rules."""
    BOTH = "both"
    """What either says rings: for a sync of which the server's list may leave something out."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a plan may depend on besides the sync itself, gathered before."""

    me: str
    mode: Mode
    account: AccountState
    ruleset: Ruleset
    rooms: Mapping[RoomId, RoomRecord] = field(default_factory=dict)
    """Records of the rooms that the sync touches."""
    fresh_rooms: frozenset[RoomId] = frozenset()
    """Those whose facts or names were asked for just now: to be kept, whatever the sync says of them."""
    open_deliveries: Sequence[Delivery] = ()
    """PENDING and SHOWN deliveries of `rooms_changing_deliveries`, in order of position."""
    positions: Mapping[EventKey, int] = field(default_factory=dict)
    """The ledger's positions of events that receipts name."""
    filled: Sequence[ServerNotification] = ()
    """What GET /notifications told of a gap in a timeline."""
    clear: Mapping[EventKey, Clear] = field(default_factory=dict)
    """By event id: the events that were decrypted. They stand in the sync, in `filled` and in `late` as decrypted."""
    locked: Mapping[EventKey, Locked] = field(default_factory=dict)
    """By event id: the encrypted events that could not be."""
    late: Sequence[Event] = ()
    """Events of earlier syncs whose keys came now, decrypted."""
    hopeless: Sequence[EventKey] = ()
    """Ids of such events that cannot be read in spite of their keys."""
    waiting: Sequence[LockedEvent] = ()
    """Events of `rooms_changing_deliveries` that are kept until their keys come."""
    threads: Mapping[EventId, str] = field(default_factory=dict)
    """By the event id of its root: what a thread is about."""
    privacy: Privacy = SHOW_ALL
    now_ms: int = 0
