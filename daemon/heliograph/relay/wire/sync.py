"""The parts of a /sync answer that the relay must know. Each is decoded alone; a malformed one is passed over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from heliograph.core.events import Json

BROKEN = (msgspec.MsgspecError, ValueError, RecursionError)
_ABSENT = msgspec.Raw(b"{}")


@dataclass(frozen=True, slots=True)
class OwnReceipt:
    """A receipt of the device's own user."""

    room_id: str
    thread_id: str | None
    event_id: str


@dataclass(slots=True)
class SyncBody:
    """One answer to /sync, as far as the relay looks into it."""

    next_batch: str
    events: dict[str, msgspec.Raw] = field(default_factory=dict)
    """Timeline events by id."""
    invites: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    redactions: list[tuple[str, str]] = field(default_factory=list)
    """Room id and the id of the event that was redacted."""
    receipts: list[OwnReceipt] = field(default_factory=list)

    @property
    def has_news(self) -> bool:
        """Whether the answer can have brought anything that rings."""
        return bool(self.events or self.invites)


class _Body(msgspec.Struct):
    next_batch: str
    rooms: msgspec.Raw = _ABSENT


class _Rooms(msgspec.Struct):
    join: msgspec.Raw = _ABSENT
    invite: msgspec.Raw = _ABSENT
    leave: msgspec.Raw = _ABSENT
    knock: msgspec.Raw = _ABSENT


class _Room(msgspec.Struct):
    timeline: msgspec.Raw = _ABSENT
    ephemeral: msgspec.Raw = _ABSENT


class _Events(msgspec.Struct):
    events: list[msgspec.Raw] = []


class _Event(msgspec.Struct):
    event_id: str = ""
    type: str = ""


_body = msgspec.json.Decoder(_Body)
_rooms = msgspec.json.Decoder(_Rooms)
_by_room = msgspec.json.Decoder(dict[str, msgspec.Raw])
_room = msgspec.json.Decoder(_Room)
_events = msgspec.json.Decoder(_Events)
_event = msgspec.json.Decoder(_Event)


def scan(body: bytes, user_id: str) -> SyncBody | None:
    """What the answer says of events, invites, redactions, and the user's own receipts. None: it cannot be read."""
    try:
        outer = _body.decode(body)
        rooms = _rooms.decode(outer.rooms)
        joined = _by_room.decode(rooms.join)
        scanned = SyncBody(
            outer.next_batch,
            invites=frozenset(_by_room.decode(rooms.invite)),
            left=frozenset(_by_room.decode(rooms.leave)),
        )
    except BROKEN:
        return None
    for room_id, raw in joined.items():
        try:
            room = _room.decode(raw)
        except BROKEN:
            continue
        for event in _list(room.timeline):
            _read_event(scanned, room_id, event)
        # Most receipts are other people's.
        if user_id.encode() in bytes(room.ephemeral):
            for event in _list(room.ephemeral):
                _read_receipts(scanned, room_id, user_id, event)
    return scanned


def with_notifications(body: bytes, notifications: list[bytes]) -> bytes:
    """The body, which is a JSON object, with the property `notifications` before all others."""
    # Spliced in, not encoded anew: the rest stays as the homeserver wrote it.
    rest = body.lstrip()[1:]
    comma = b"" if rest.lstrip()[:1] == b"}" else b","
    return b'{"notifications":[' + b",".join(notifications) + b"]" + comma + rest


def loads(text: bytes | msgspec.Raw) -> Any:
    """Reads JSON as leniently as homeservers do: with lone surrogates and NaN. None: this is no JSON at all."""
    try:
        return json.loads(bytes(text))
    except (ValueError, RecursionError):
        return None


def _list(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _events.decode(raw).events
    except BROKEN:
        return []


def _read_event(scanned: SyncBody, room_id: str, raw: msgspec.Raw) -> None:
    try:
        event = _event.decode(raw)
    except BROKEN:
        return
    if event.event_id:
        scanned.events[event.event_id] = raw
    if event.type == "m.room.redaction":
        target = redacted_by(loads(raw))
        if target is not None:
            scanned.redactions.append((room_id, target))


def redacted_by(event: Any) -> str | None:
    """The event id that a redaction names: at the top before room version 11, in the content since."""
    if not isinstance(event, dict):
        return None
    content = event.get("content")
    inner = content.get("redacts") if isinstance(content, dict) else None
    target = inner if isinstance(inner, str) else event.get("redacts")
    return target if isinstance(target, str) else None


def _read_receipts(scanned: SyncBody, room_id: str, user_id: str, raw: msgspec.Raw) -> None:
    event = loads(raw)
    content = event.get("content") if isinstance(event, dict) and event.get("type") == "m.receipt" else None
    for event_id, kinds in _items(content):
        for kind, users in _items(kinds):
            mine = users.get(user_id) if isinstance(users, dict) else None
            if kind in ("m.read", "m.read.private") and isinstance(mine, dict):
                thread_id = mine.get("thread_id")
                scanned.receipts.append(
                    OwnReceipt(room_id, thread_id if isinstance(thread_id, str) else None, event_id)
                )


def _items(value: Any) -> list[tuple[str, Json]]:
    return list(value.items()) if isinstance(value, Mapping) else []
