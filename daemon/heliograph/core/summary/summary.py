"""What the running daemon tells to status bars, docks and scripts: counts and states, never what messages say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from heliograph.core.summary.unread import UnreadRoom

UNTIL_RESUMED = -1
"""Instead of a time: quiet until the user ends it."""
MOST_ROOMS = 50

_STATES = ("signed out", "waiting for keyring", "offline", "connecting", "connected")
"""How accounts can fare (`core.status.Connection`), the worst first."""


@dataclass(frozen=True, slots=True)
class RoomCount:
    """How much is unread in one room."""

    account: str
    room_id: str
    title: str
    unread: int
    highlights: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Times are milliseconds since 1970; 0: not at all."""

    state: str = "connecting"
    """Of the account that fares worst."""
    accounts: tuple[tuple[str, str], ...] = ()
    """User ids and their states."""
    unread: int = 0
    highlights: int = 0
    rooms: tuple[RoomCount, ...] = ()
    """The MOST_ROOMS with the newest messages, newest first."""
    paused_until_ms: int = 0
    quiet_why: str = ""
    """"paused", "quiet hours", "do not disturb", or "" while notifications pop up."""
    quiet_until_ms: int = 0
    notification_server: str = ""
    """What shows notifications, for people."""


def summarize(
    accounts: Mapping[str, str],
    unread: Mapping[str, Iterable[UnreadRoom]],
    *,
    paused_until_ms: int = 0,
    quiet_why: str = "",
    quiet_until_ms: int = 0,
    notification_server: str = "",
) -> Summary:
    """States and unread rooms, by user id."""
    found = [(account, room) for account, rooms in unread.items() for room in rooms]
    found.sort(key=lambda each: each[1].latest_ms, reverse=True)
    return Summary(
        state=worst_state(accounts.values()),
        accounts=tuple(accounts.items()),
        unread=sum(room.unread for _, room in found),
        highlights=sum(room.highlights for _, room in found),
        rooms=tuple(
            RoomCount(account, room.room_id, room.title, room.unread, room.highlights)
            for account, room in found[:MOST_ROOMS]
        ),
        paused_until_ms=paused_until_ms,
        quiet_why=quiet_why,
        quiet_until_ms=quiet_until_ms,
        notification_server=notification_server,
    )


def worst_state(states: Iterable[str]) -> str:
    """An unknown one counts as the worst; without any it is still connecting."""
    order = {state: place for place, state in enumerate(_STATES)}
    return min(states, key=lambda state: order.get(state, -1), default="connecting")
