"""The parts of a /sync answer that the relay must know. Each is decoded alone; a malformed one is passed over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from heliograph.core.events import Json
from heliograph.core.reading import MAIN, Mark, is_written
from heliograph.core.value_type import value_type
from heliograph.relay.model.around import Around
from heliograph.relay.wire.context import around_of, relation_of, root_and_parent
from heliograph.relay.wire.ids import is_kept_event, is_kept_room

MAX_RECEIPTS = 500
"""Of one user in one room and answer. There is one for each kind and thread, so as many are nonsense."""
_NOT_MARKING = ("transaction_id", "redacted_because")
BROKEN = (msgspec.MsgspecError, ValueError, RecursionError)
_ABSENT = msgspec.Raw(b"{}")


@value_type
class OwnMark:
    """The device's own user has read up to an event, by a receipt or by a message that another device sent."""

    room_id: str
    mark: Mark
    around: Around
    """The timeline of that room in the same answer."""


@dataclass(slots=True)
class SyncBody:
    """One answer to /sync, as far as the relay looks into it."""

    next_batch: str
    events: dict[str, msgspec.Raw] = field(default_factory=dict)
    """Timeline events by id."""
    invites: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    redactions: dict[str, list[str]] = field(default_factory=dict)
    """By room id: the ids of the events that were redacted."""
    read: list[OwnMark] = field(default_factory=list)

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
        timeline = _list(room.timeline)
        for event in timeline:
            _read_event(scanned, room_id, event)
        # Most receipts and messages are other people's.
        if user_id.encode() in bytes(room.ephemeral) + bytes(room.timeline):
            events = [loads(event) for event in timeline]
            around = around_of(events)
            marks = [*islice(_receipts(room.ephemeral, user_id), MAX_RECEIPTS), *_written(events, user_id)]
            scanned.read += [OwnMark(room_id, mark, around) for mark in marks]
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
        if target is not None and is_kept_room(room_id):
            scanned.redactions.setdefault(room_id, []).append(target)


def redacted_by(event: Any) -> str | None:
    """The event id that a redaction names: at the top before room version 11, in the content since.

    Homeservers write both alike. Two that differ are the sender's, of which only one was checked: None.
    """
    if not isinstance(event, dict):
        return None
    content = event.get("content")
    named = (event.get("redacts"), content.get("redacts") if isinstance(content, dict) else None)
    targets = {target for target in named if isinstance(target, str)}
    return next(iter(targets)) if len(targets) == 1 and all(map(is_kept_event, targets)) else None


def _receipts(ephemeral: msgspec.Raw, user_id: str) -> Iterator[Mark]:
    for raw in _list(ephemeral):
        event = loads(raw)
        content = event.get("content") if isinstance(event, dict) and event.get("type") == "m.receipt" else None
        for event_id, kinds in _items(content):
            for kind, users in _items(kinds):
                mine = users.get(user_id) if isinstance(users, dict) else None
                if kind in ("m.read", "m.read.private") and isinstance(mine, dict):
                    thread_id = mine.get("thread_id")
                    yield Mark(event_id, thread_id if isinstance(thread_id, str) else None)


def _written(events: Iterable[Any], user_id: str) -> Iterable[Mark]:
    """The last message in each thread that the user wrote on another device."""
    last: dict[str, Mark] = {}
    for event in events:
        if not isinstance(event, dict) or event.get("sender") != user_id or "state_key" in event:
            continue
        relation, unsigned = relation_of(event.get("content")), event.get("unsigned")
        # One that this very device sent comes with its transaction.
        is_marking = not isinstance(unsigned, dict) or unsigned.keys().isdisjoint(_NOT_MARKING)
        event_id, type_ = event.get("event_id"), event.get("type")
        if isinstance(event_id, str) and isinstance(type_, str) and is_marking and is_written(type_, relation):
            root, _ = root_and_parent(relation)
            last[root or MAIN] = Mark(event_id, root or MAIN)
    return last.values()


def _items(value: Any) -> list[tuple[str, Json]]:
    return list(value.items()) if isinstance(value, Mapping) else []
