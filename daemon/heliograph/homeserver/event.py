"""Turns the JSON of one event into an Event, or into a Malformed that says why not. Nothing here raises."""

from __future__ import annotations

from typing import Any

import msgspec

from heliograph.core.events import Event, Malformed, ServerNotification, StrippedState
from heliograph.core.ids import MAX_ID, EventId, RoomId, is_event_id, is_room_id, is_user_id
from heliograph.core.mending import MAX_DEPTH, cut, mend
from heliograph.homeserver.bounds import MAX_INTEGER, is_integer

MAX_EVENT = 256 * 1024
"""The most bytes of an event. It has 64 KiB itself; servers add others to `unsigned` (its edit, its thread's
latest)."""

BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text that is not JSON, or not of the wanted type."""

_decode = msgspec.json.Decoder().decode


class _Identity(msgspec.Struct):
    event_id: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode


def read_event(raw: bytes, room_id: RoomId, where: str) -> Event | Malformed:
    """Reads an event of a room's timeline or state. `where` names the part of the answer, for a Malformed."""
    json = read_event_object(raw)
    if isinstance(json, str):
        # The id is read on its own: with it, an event that cannot be read still counts as one that was seen.
        return Malformed(where, json, room_id, _event_id(raw))
    return event_of(json, room_id, where)


def event_of(json: dict[str, Any], room_id: RoomId, where: str) -> Event | Malformed:
    """The event with this JSON. `room_id` replaces the one in `json`: a stranger could name another room there, and
    push rules match on it."""
    event_id = json.get("event_id")
    if not is_event_id(event_id):
        return Malformed(where, "event_id is not one", room_id)
    type_ = json.get("type")
    sender = json.get("sender")
    ts = json.get("origin_server_ts")
    content = json.get("content")
    state_key = json.get("state_key")
    why = ""
    if not isinstance(type_, str) or len(type_) > MAX_ID:
        why = "type is not a string of at most 255 characters"
    elif not is_user_id(sender):
        why = "sender is not a user id"
    elif not is_integer(ts):
        why = "origin_server_ts is not an integer"
    elif not isinstance(content, dict):
        why = "content is not an object"
    elif state_key is not None and (not isinstance(state_key, str) or len(state_key) > MAX_ID):
        why = "state_key is not a string of at most 255 characters"
    else:
        json["room_id"] = room_id
        ts = min(max(ts, 0), MAX_INTEGER)
        return Event(event_id, room_id, type_, sender, ts, content, json, state_key)
    return Malformed(where, why, room_id, event_id)


def read_stripped(raw: bytes, room_id: RoomId, where: str) -> StrippedState | Malformed:
    """Reads an event of `invite_state`."""
    json = read_event_object(raw)
    if isinstance(json, str):
        return Malformed(where, json, room_id)
    type_, state_key, sender, content = (json.get(key) for key in ("type", "state_key", "sender", "content"))
    if (
        isinstance(type_, str)
        and isinstance(state_key, str)
        and max(len(type_), len(state_key)) <= MAX_ID
        and is_user_id(sender)
        and isinstance(content, dict)
    ):
        json["room_id"] = room_id
        return StrippedState(type_, state_key, sender, content, json)
    return Malformed(where, "not a stripped state event", room_id)


def read_notification(raw: bytes) -> ServerNotification | Malformed:
    """Reads an entry of `notifications`, from a /sync (MSC3361) or from GET /notifications."""
    where = "notifications"
    json = read_event_object(raw)
    if isinstance(json, str):
        return Malformed(where, json)
    room_id, inner, actions, ts = (json.get(key) for key in ("room_id", "event", "actions", "ts"))
    if not is_room_id(room_id):
        return Malformed(where, "room_id is not one")
    if not isinstance(inner, dict):
        return Malformed(where, "event is not an object", room_id)
    event = event_of(inner, room_id, where)
    if isinstance(event, Malformed):
        return event
    if not isinstance(actions, list):
        return Malformed(where, "actions is not an array", room_id, event.event_id)
    received = min(max(ts, 0), MAX_INTEGER) if is_integer(ts) else event.origin_server_ts
    return ServerNotification(event, tuple(actions), received, json.get("read") is True)


def read_event_object(raw: bytes) -> dict[str, Any] | str:
    """The JSON object, cut off where it is nested deeper than MAX_DEPTH; or words why there is none."""
    if len(raw) > MAX_EVENT:
        return f"larger than {MAX_EVENT} bytes"
    # A cheap test first: with fewer brackets nothing can be nested too deeply, and most events have few.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        raw = cut(raw, MAX_DEPTH)
    try:
        json = _decode(raw)
    except BROKEN:
        try:
            json = _decode(mend(raw, MAX_DEPTH))
        except BROKEN as error:
            return f"not JSON: {error}"[:200]
    return json if isinstance(json, dict) else "not an object"


def _event_id(raw: bytes) -> EventId | None:
    try:
        event_id = _decode_identity(raw).event_id
    except BROKEN:
        return None
    return event_id if is_event_id(event_id) else None
