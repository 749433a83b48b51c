"""What is asked of /sync: little, and never in a longer line than a proxy takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heliograph.core.ids import RoomId
from heliograph.homeserver.address import encode_query
from heliograph.homeserver.sync_filter import MAX_QUERY, sync_query
from heliograph.ports.homeserver import SyncRequest

TYPES = frozenset({"m.room.message"})


def ask(since: str | None = "s1", timeout_ms: int = 30_000, **request: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """The query without its filter, and the filter."""
    query = sync_query(SyncRequest(since=since, timeout_ms=timeout_ms, **request), "DEV")
    filter_ = query.pop("filter")
    assert " " not in filter_
    return query, json.loads(filter_)


def test_the_first_sync_asks_for_no_room() -> None:
    query, filter_ = ask(since=None, timeout_ms=0)
    assert query == {"timeout": "0", "set_presence": "offline"}
    assert filter_["room"] == {"rooms": []}
    assert filter_["presence"] == {"types": []}


def test_a_poll_asks_for_what_came_since() -> None:
    query, _ = ask()
    assert query == {
        "since": "s1",
        "timeout": "30000",
        "set_presence": "offline",
        "use_state_after": "true",
        "org.matrix.msc4222.use_state_after": "true",
    }


def test_account_data_of_our_own_device_comes_along() -> None:
    for _, filter_ in (ask(since=None), ask()):
        assert filter_["account_data"]["types"] == [
            "m.push_rules",
            "m.direct",
            "m.ignored_user_list",
            "m.media_preview_config",
            "io.element.msc4278.media_preview_config",
            "m.local_notification_settings.DEV",
            "org.matrix.msc3890.local_notification_settings.DEV",
        ]


def test_a_rename_passes_whatever_types_are_wanted() -> None:
    _, filter_ = ask(event_types=TYPES, timeline_limit=7)
    timeline = filter_["room"]["timeline"]
    assert {"m.room.message", "m.room.name", "m.room.member"} <= set(timeline["types"])
    assert timeline["limit"] == 7
    assert timeline["unread_thread_notifications"] is True


def test_all_types_are_no_list_of_types() -> None:
    _, filter_ = ask(event_types=None)
    assert "types" not in filter_["room"]["timeline"]


def test_receipts_are_asked_for_by_room() -> None:
    assert ask(receipts_in=frozenset())[1]["room"]["ephemeral"] == {"types": ["m.receipt"], "rooms": []}
    rooms = frozenset({"!b:example.org", "!a:example.org"})
    assert ask(receipts_in=rooms)[1]["room"]["ephemeral"]["rooms"] == ["!a:example.org", "!b:example.org"]
    assert ask(receipts_in=None)[1]["room"]["ephemeral"] == {"types": ["m.receipt"]}


@pytest.mark.parametrize("room_id", ["!nothing", "!x:in_valid", "!x:y:z", "!x:e..x"])
def test_where_no_filter_may_name_a_room_receipts_of_all_are_asked_for(room_id: str) -> None:
    rooms = frozenset({RoomId(room_id), RoomId("!a:example.org")})
    assert ask(receipts_in=rooms)[1]["room"]["ephemeral"] == {"types": ["m.receipt"]}


def test_a_filter_is_ascii_whoever_named_what_it_names() -> None:
    query = sync_query(SyncRequest("s1", 0, frozenset({RoomId("!é:example.org")}), frozenset({"é\U0001f600"})), "DÉV")
    assert query["filter"].isascii()
    room = json.loads(query["filter"])["room"]
    assert room["ephemeral"]["rooms"] == ["!é:example.org"]
    assert "é\U0001f600" in room["timeline"]["types"]


def test_rooms_too_many_to_list_are_all_rooms() -> None:
    rooms = frozenset(f"!{'x' * 40}{number}:example.org" for number in range(500))
    _, filter_ = ask(receipts_in=rooms, event_types=TYPES)
    assert filter_["room"]["ephemeral"] == {"types": ["m.receipt"]}
    assert "m.room.message" in filter_["room"]["timeline"]["types"]


def test_types_too_many_to_list_are_all_types() -> None:
    types = frozenset("x" * 200 + str(number) for number in range(50))
    _, filter_ = ask(event_types=types)
    assert "types" not in filter_["room"]["timeline"]


def test_the_query_stays_short() -> None:
    rooms = frozenset(RoomId(f"!{'é' * 40}{number}:example.org") for number in range(500))
    query = sync_query(SyncRequest("s" * 3000, 30_000, rooms, TYPES), "DEV")
    assert len(encode_query(query)) <= MAX_QUERY
