"""Sums the daemon's state up for status bars, docks and scripts: counts and states, never the text of a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from heliograph.core.summary.unread import UnreadRoom, newest_first
from heliograph.core.value_type import value_type

UNTIL_RESUMED = -1
"""Stands in place of a time: notifications are paused until the user ends that."""
MOST_ROOMS = 50

_STATES = ("cannot run", "signed out", "waiting for keyring", "offline", "connecting", "connected")
"""The states of accounts (`core.status.Connection`), the worst first."""


@value_type
class RoomCount:
    """The numbers of unread messages and of highlights among them in one room."""

    account: str
    room_id: str
    title: str
    unread: int
    highlights: int
    sender: str = ""
    """The user id of who wrote the newest of them; "": not known."""


@value_type
class Summary:
    """The state of the daemon in short. Times are in ms since 1970; 0: there is no such time."""

    state: str = "connecting"
    """The state of the account that is worst off."""
    accounts: tuple[tuple[str, str], ...] = ()
    """User ids and the states of their accounts."""
    troubles: tuple[tuple[str, str], ...] = ()
    """User ids of accounts that do not work, and why, in words for people. Bars are not told."""
    unread: int = 0
    highlights: int = 0
    rooms: tuple[RoomCount, ...] = ()
    """Up to MOST_ROOMS rooms with unread messages, the one with the newest first."""
    paused_until_ms: int = 0
    quiet_why: str = ""
    """"paused", "quiet hours", "do not disturb", or "" while notifications pop up."""
    quiet_until_ms: int = 0
    is_quiet_everywhere: bool = False
    """Other devices do not ring instead, as far as that is in this desktop's power."""
    notification_server: str = ""
    """The name of the program that shows notifications, for people; "": there is none."""


def summarize(
    accounts: Mapping[str, str],
    unread: Mapping[str, Iterable[UnreadRoom]],
    *,
    troubles: Mapping[str, str] = MappingProxyType({}),
    paused_until_ms: int = 0,
    quiet_why: str = "",
    quiet_until_ms: int = 0,
    is_quiet_everywhere: bool = False,
    notification_server: str = "",
) -> Summary:
    """The summary. `accounts` has the state of each account and `unread` its rooms with unread messages, newest first,
    by user id; `troubles` says why an account is in its state."""
    # All rooms are counted, and only the newest are named: bars have no place for more.
    found = newest_first(unread)
    return Summary(
        state=worst_state(accounts.values()),
        accounts=tuple(accounts.items()),
        troubles=tuple((user_id, why) for user_id, why in troubles.items() if why),
        unread=sum(room.unread for _, room in found),
        highlights=sum(room.highlights for _, room in found),
        rooms=tuple(
            RoomCount(account, room.room_id, room.title, room.unread, room.highlights, room.sender)
            for account, room in found[:MOST_ROOMS]
        ),
        paused_until_ms=paused_until_ms,
        quiet_why=quiet_why,
        quiet_until_ms=quiet_until_ms,
        is_quiet_everywhere=is_quiet_everywhere,
        notification_server=notification_server,
    )


def worst_state(states: Iterable[str]) -> str:
    """The worst of these states. An unknown one, as of another version, counts as the worst; without any state, the
    daemon is still connecting."""
    order = {state: place for place, state in enumerate(_STATES)}
    return min(states, key=lambda state: order.get(state, -1), default="connecting")
