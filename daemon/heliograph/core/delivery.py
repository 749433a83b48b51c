"""Says how a delivery moves: one event that rings, on its way to the screen. All states and moves are in `_MOVES`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

from heliograph.core.value_type import value_type

T = TypeVar("T")


class State(Enum):
    """The state of a delivery. In four states the message is unread, and more can happen; the others are final."""

    PENDING = "pending"
    """The message has to be shown, at `due_ms` or as soon as the desktop can."""
    SHOWN = "shown"
    """The notification server has shown the message."""
    OPENED = "opened"
    """The user acted on the message."""
    DISMISSED = "dismissed"
    """The user or the server closed the popup. The message is still unread."""
    WITHDRAWN = "withdrawn"
    """The delivery was taken back after it was shown: the message was read elsewhere, redacted, or its room left."""
    CANCELLED = "cancelled"
    """The delivery was taken back before it was shown."""
    LOST = "lost"
    """The desktop did not show the message, for a reason that is kept. The message is still unread."""


class Move(Enum):
    """An event in the life of a delivery."""

    SHOWN = "shown"
    FAILED = "failed"
    """The desktop could not show the message now; it is tried again."""
    WITHDRAWN = "withdrawn"
    GAVE_UP = "gave up"
    """The desktop refused the message for good, or too many tries failed."""
    OPENED = "opened"
    DISMISSED = "dismissed"
    REPLACED = "replaced"
    """The popup that shows the message was replaced by another one that shows it as well."""
    SERVER_RESTARTED = "server restarted"
    """The popup went with the notification server that showed it."""


_MOVES: Mapping[State, Mapping[Move, State]] = MappingProxyType(
    {
        State.PENDING: {
            Move.SHOWN: State.SHOWN,
            Move.FAILED: State.PENDING,
            # By `heliograph inbox`, while the message waits for its popup.
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
        # Never shown, so that a withdrawal cancels as it does while a message is PENDING.
        State.LOST: {Move.OPENED: State.OPENED, Move.WITHDRAWN: State.CANCELLED},
    }
)

OPEN_STATES = frozenset(state for state, moves in _MOVES.items() if moves)
"""The states in which more can happen: as far as we know, the message is unread."""


def after(state: State, move: Move) -> State | None:
    """The state after a move; None: the move does not fit this state (a late signal, a second Closed)."""
    return _MOVES[state].get(move)


FIRST_RETRY_S = 2.0
LAST_RETRY_S = 300.0


def retry_delay(attempts: int, jitter: float) -> float:
    """Seconds until the next try after `attempts` failed ones: 2 s doubling to 5 min, plus or minus a quarter by
    `jitter` in [0, 1)."""
    delay = FIRST_RETRY_S * 2.0 ** min(attempts - 1, 16) if attempts > 0 else 0.0
    return min(delay, LAST_RETRY_S) * (0.75 + jitter / 2)


@value_type
class Done(Generic[T]):
    """The outcome of a call that succeeded."""

    value: T


@value_type
class RetryLater:
    """The outcome of a call that cannot succeed now. `after`: seconds to wait; None: until the caller is told of a
    change, like a ServerChanged."""

    after: float | None
    why: str


@value_type
class Declined:
    """The outcome of a call that can never succeed in this form: trying again unchanged is pointless."""

    why: str


@value_type
class NeedsUser:
    """The outcome of a call that only the user can help with. `title` says what is wrong, `hint` what to do."""

    title: str
    hint: str
