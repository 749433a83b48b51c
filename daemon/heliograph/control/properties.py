"""Turns a summary into the D-Bus properties of the daemon, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.core.summary.summary import RoomCount, Summary

_MOST = 2**32 - 1


def to_properties(summary: Summary) -> dict[str, Any]:
    """The properties by name, with values as dbus-fast takes them."""
    return {
        "State": summary.state,
        "Accounts": dict(summary.accounts),
        "Unread": to_count(summary.unread),
        "Highlights": to_count(summary.highlights),
        "Rooms": to_rooms(summary),
        "PausedUntil": summary.paused_until_ms,
        "QuietReason": summary.quiet_why,
        "QuietUntil": summary.quiet_until_ms,
        "QuietEverywhere": summary.is_quiet_everywhere,
        "NotificationServer": summary.notification_server,
    }


def to_count(number: int) -> int:
    """The number, or the largest that fits a UINT32."""
    return min(number, _MOST)


def to_rooms(summary: Summary) -> list[Any]:
    """The rooms as a(sssuu): account, room id, title, unread, highlights."""
    return [
        [room.account, room.room_id, room.title, to_count(room.unread), to_count(room.highlights)]
        for room in summary.rooms
    ]


def from_properties(properties: Mapping[str, Any]) -> Summary:
    """The summary that these properties describe. A property that is missing or of another type, as of another version
    of the daemon, has its default."""
    default = to_properties(Summary())

    def get(name: str) -> Any:
        value = properties.get(name)
        # The very type: a boolean is an int as well, and would be counted.
        return value if type(value) is type(default[name]) else default[name]

    return Summary(
        state=get("State"),
        accounts=tuple((str(user_id), str(state)) for user_id, state in get("Accounts").items()),
        unread=get("Unread"),
        highlights=get("Highlights"),
        rooms=tuple(_room(each) for each in get("Rooms") if isinstance(each, list | tuple) and len(each) == 5),
        paused_until_ms=get("PausedUntil"),
        quiet_why=get("QuietReason"),
        quiet_until_ms=get("QuietUntil"),
        is_quiet_everywhere=get("QuietEverywhere"),
        notification_server=get("NotificationServer"),
    )


def _room(values: Any) -> RoomCount:
    account, room_id, title, unread, highlights = values
    is_counted = isinstance(unread, int) and isinstance(highlights, int)
    return RoomCount(str(account), str(room_id), str(title), *((unread, highlights) if is_counted else (0, 0)))
