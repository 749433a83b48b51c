"""Whatever a homeserver or a stranger makes of a /sync body: an answer, or Unreachable."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core.events import Sync
from heliograph.errors import Unreachable
from heliograph.homeserver.sync_response import decode_sync
from support.builders import ALICE, ME, ROOM

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["\0", "\ud800", "!r:x", "$e", "@u:x", ME, 2**70, -1, 1e300, "m.receipt", "m.push_rules"])
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
KEYS = st.sampled_from(
    [
        *("next_batch", "rooms", "join", "invite", "leave", "timeline", "state", "events", "limited", "prev_batch"),
        *("ephemeral", "account_data", "unread_notifications", "unread_thread_notifications", "notification_count"),
        *("summary", "m.heroes", "m.joined_member_count", "to_device", "notifications", "invite_state", "event_id"),
        *("type", "sender", "content", "origin_server_ts", "state_key", "room_id", "event", "actions", "ts", "read"),
        *("m.read", "thread_id", "global", "ignored_users", "is_silenced", ROOM, ME, ALICE, "$1"),
    ]
)
LIKE_SYNC = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=40
)


def a_body() -> dict[str, Any]:
    event = {
        "event_id": "$1",
        "type": "m.room.message",
        "sender": ALICE,
        "origin_server_ts": 1,
        "content": {"body": "x"},
    }
    receipt = {"type": "m.receipt", "content": {"$1": {"m.read": {ME: {"ts": 1, "thread_id": "main"}}}}}
    room = {
        "timeline": {"events": [event, event], "limited": True, "prev_batch": "p"},
        "state": {"events": [{**event, "state_key": ""}]},
        "ephemeral": {"events": [receipt]},
        "unread_notifications": {"notification_count": 1},
        "unread_thread_notifications": {"$1": {"notification_count": 1}},
        "summary": {"m.heroes": [ALICE], "m.joined_member_count": 2},
    }
    return {
        "next_batch": "s2",
        "rooms": {"join": {ROOM: room}, "invite": {ROOM: {"invite_state": {"events": [event]}}}, "leave": {ROOM: {}}},
        "account_data": {"events": [{"type": "m.push_rules", "content": {"global": {}}}]},
        "to_device": {"events": [{"type": "m.x", "content": {}}]},
        "notifications": [{"room_id": ROOM, "event": event, "actions": [], "ts": 1, "read": False}],
    }


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in paths(child, (*path, key)))]


PATHS = [path for path in paths(a_body()) if path]


def survives(body: bytes) -> Sync | None:
    try:
        return decode_sync(body, user_id=ME, device_id="D")
    except Unreachable:
        return None


@given(st.binary(max_size=300))
def test_any_bytes(body: bytes) -> None:
    survives(body)


@given(ANYTHING | LIKE_SYNC)
@settings(max_examples=200)
def test_any_json(value: Any) -> None:
    survives(json.dumps(value).encode())
    survives(json.dumps({"next_batch": "s", "rooms": value}).encode())


@given(st.lists(st.tuples(st.sampled_from(PATHS), LIKE_SYNC), min_size=1, max_size=4))
@settings(max_examples=300)
def test_a_good_answer_with_anything_anywhere(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    body = a_body()
    for path, value in changes:
        place: Any = body
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    sync = survives(json.dumps(body).encode())
    if body["next_batch"] == "s2":
        assert sync is not None


@given(st.data())
@settings(max_examples=200)
def test_a_good_answer_with_bytes_changed_or_missing(data: st.DataObject) -> None:
    body = bytearray(json.dumps(a_body()).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(start + 20, len(body))))
        body[start:end] = data.draw(st.binary(max_size=8))
    survives(bytes(body))
