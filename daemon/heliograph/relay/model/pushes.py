"""Pushes on their way from the homeserver to push gateways, and the outcomes of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from heliograph.core.value_type import value_type

T = TypeVar("T")

SENT = "sent"
"""The outcome of a push that its gateway took."""
MOST_WAITING = 1_000
"""Pushes of one pusher that wait; beyond it the oldest are dropped."""
MOST_KEPT = 5_000
"""Pushes of one pusher of which anything is known, those with an outcome among them."""
MOST_BYTES = 8 * 1024 * 1024
"""The bound of the payloads that wait for one pusher."""
MOST_BYTES_OF_USER = 16 * 1024 * 1024
MOST_BYTES_OF_ALL = 1024 * 1024 * 1024
"""The same for all pushers of a user, and for all users: a gateway that many phones share may be down for a day."""


class Why(StrEnum):
    """Why a push was not, or is no longer to be, sent. The values are labels of the metrics."""

    ACKNOWLEDGED = "acknowledged"
    READ = "read"
    UNREAD_ZERO = "unread_zero"
    REDACTED = "redacted"
    LEFT = "left"
    REMOVED = "removed"
    """The pusher is gone: deleted, signed out, password changed."""
    DISABLED = "disabled"
    """The pusher was switched off meanwhile (MSC3881)."""
    REJECTED = "rejected"
    """The gateway does not want this pushkey any more."""
    EXPIRED = "expired"
    OVERFLOW = "overflow"
    """Too much was waiting, for this pusher, its user or in all: the oldest went."""
    SUPERSEDED = "superseded"
    """A clearing push after which another one came."""
    NOTHING_TO_CLEAR = "nothing_to_clear"


@value_type
class Push:
    """A push for one http pusher, as it is kept."""

    hidden_pushkey: str
    user_id: str
    event_id: str | None
    room_id: str
    thread_id: str | None
    unread: int | None
    received_ms: int
    due_ms: int
    payload: str


class Accepted(StrEnum):
    """How a push was received."""

    QUEUED = "queued"
    REPEATED = "repeated"
    SETTLED = "settled"
    """The push's event is settled already."""
    REJECTED = "rejected"
    """The pusher is rejected, which the homeserver is yet to be told."""


@value_type
class WaitingCount:
    """How many pushes wait now."""

    pushes: int
    held: int
    """The pushes of these that wait for an acknowledgement."""
    failing_pushers: int
    """Pushers whose gateway failed last, so that their pushes wait for the next try."""


@value_type
class PushCounts:
    """The queue's figures: what is waiting and under way now, all else since the relay's start."""

    waiting: WaitingCount
    in_flight: int
    """Requests to push gateways that are open."""
    attempts: Mapping[str, int]
    """Requests to push gateways: ok, failed."""
    accepted: Mapping[str, int]
    """Pushes from the homeserver, by `Accepted`."""
    settled: Mapping[str, int]
    """Pushes by `Why` they were not sent, and `SENT`."""


@dataclass(slots=True)
class Changes:
    """The outcomes that a transaction gave to pushes, and the queues it changed."""

    outcomes: Counter[str] = field(default_factory=Counter)
    queues: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    due: dict[str, int] = field(default_factory=dict)
    """When (ms) each of those in which something waits wants to be looked at."""
    lost: Counter[tuple[str, Why]] = field(default_factory=Counter)
    """Pushes that nobody will get who should have, by queue and reason."""


@value_type
class Attempt:
    """The first push of a queue, which is now to be sent."""

    position: int
    payload: str
    is_brief: bool
    event_id: str | None
    unread: int | None


@value_type
class QueueChange(Generic[T]):
    """A transaction on the queue, with its answer to the caller and its changes."""

    result: T
    changes: Changes
