"""A delivery: one event that rings, on its way to the screen. All its states and moves stand in `_MOVES`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

T = TypeVar("T")


class State(Enum):
    """Where a delivery stands. Unread are the four that something can still happen to; the others are final."""

    PENDING = "pending"
    """To be shown, at `due_ms` or as soon as the desktop can."""
    SHOWN = "shown"
    """The notification server has it."""
    OPENED = "opened"
    """The user acted on it."""
    DISMISSED = "dismissed"
    """The user or the server closed its popup. It is still unread."""
    WITHDRAWN = "withdrawn"
    """Taken back after it was shown: read elsewhere, redacted, left."""
    CANCELLED = "cancelled"
    """Taken back before it was shown."""
    LOST = "lost"
    """The desktop would not show it; the reason is kept. It is still unread."""


class Move(Enum):
    """What can happen to a delivery."""

    SHOWN = "shown"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    GAVE_UP = "gave up"
    OPENED = "opened"
    DISMISSED = "dismissed"
    REPLACED = "replaced"
    SERVER_RESTARTED = "server restarted"


_MOVES: Mapping[State, Mapping[Move, State]] = MappingProxyType(
    {
        State.PENDING: {
            Move.SHOWN: State.SHOWN,
            Move.FAILED: State.PENDING,
            Move.OPENED: State.OPENED,
            Move.WITHDRAWN: State.CANCELLED,
            Move.GAVE_UP: State.LOST,
        },
        State.SHOWN: {
            Move.OPENED: State.OPENED,
            Move.DISMISSED: State.DISMISSED,
            Move.WITHDRAWN: State.WITHDRAWN,
            Move.REPLACED: State.SHOWN,
            Move.SERVER_RESTARTED: State.SHOWN,
        },
        State.OPENED: {},
        State.DISMISSED: {Move.OPENED: State.OPENED, Move.WITHDRAWN: State.WITHDRAWN},
        State.WITHDRAWN: {},
        State.CANCELLED: {},
        State.LOST: {Move.OPENED: State.OPENED, Move.WITHDRAWN: State.CANCELLED},
    }
)

OPEN_STATES = frozenset(state for state, moves in _MOVES.items() if moves)
"""States that something can still happen to: the message is unread as far as we know."""


def after(state: State, move: Move) -> State | None:
    """The state after a move, or None if the move cannot happen there (a late signal, a second Closed)."""
    return _MOVES[state].get(move)


FIRST_RETRY_S = 2.0
LAST_RETRY_S = 300.0


def retry_delay(attempts: int, jitter: float) -> float:
    """Seconds until the next try after `attempts` failed ones: 2 s doubling to 5 min. `jitter` is in [0, 1)."""
    delay = FIRST_RETRY_S * 2.0 ** min(attempts - 1, 16) if attempts > 0 else 0.0
    return min(delay, LAST_RETRY_S) * (0.75 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The edge did it."""

    value: T


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Not now. `after` in seconds; None: when the edge says that it is back."""

    after: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Declined:
    """Never in this form: trying again unchanged is pointless."""

    why: str


@dataclass(frozen=True, slots=True)
class NeedsUser:
    """Only the user can mend it."""

    title: str
    hint: str
