"""Turns one entry of `rooms.join` in a /sync into a JoinedRoom."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from heliograph.core.events import JoinedRoom, Receipt, RoomSummary
from heliograph.core.ids import RoomId, is_event_id, is_user_id
from heliograph.homeserver.bounds import MAX_INTEGER, MAX_TOKEN
from heliograph.homeserver.event import read_event
from heliograph.homeserver.parts import ABSENT, PartialDecoder, decoder

_MAX_HEROES = 10
_MAX_RECEIPTS = 500
"""Of the user's own in one room and sync. There is one for each kind and thread, so as many are nonsense."""
_OWN_RECEIPTS = ("m.read", "m.read.private")


class _Room(msgspec.Struct):
    timeline: msgspec.Raw = ABSENT
    state: msgspec.Raw = ABSENT
    state_after: msgspec.Raw = ABSENT
    unstable_state_after: msgspec.Raw = msgspec.field(default=ABSENT, name="org.matrix.msc4222.state_after")
    ephemeral: msgspec.Raw = ABSENT
    unread_notifications: msgspec.Raw = ABSENT
    unread_thread_notifications: msgspec.Raw = ABSENT
    summary: msgspec.Raw = ABSENT
    sticky: msgspec.Raw = msgspec.field(default=ABSENT, name="msc4354_sticky")


class _Timeline(msgspec.Struct):
    events: list[msgspec.Raw] | None = None
    limited: Any = None
    prev_batch: Any = None


class _Event(msgspec.Struct):
    """An event of `ephemeral`."""

    type: str
    content: dict[str, Any]


class _Count(msgspec.Struct):
    notification_count: int | None = None


class _Summary(msgspec.Struct):
    joined: int | None = msgspec.field(default=None, name="m.joined_member_count")
    invited: int | None = msgspec.field(default=None, name="m.invited_member_count")
    heroes: list[Any] | None = msgspec.field(default=None, name="m.heroes")


_room = decoder(_Room)
_timeline = decoder(_Timeline)
_event = decoder(_Event)
_count = decoder(_Count)
_thread_counts = decoder(dict[str, _Count])
_summary = decoder(_Summary)


def read_joined_room(decoding: PartialDecoder, raw: msgspec.Raw, room_id: RoomId, user_id: str) -> JoinedRoom | None:
    """The room, with only the user's own receipts; None: the entry is no object."""
    room = decoding.read(_room, raw, "rooms.join", room_id)
    if room is None:
        return None
    timeline = decoding.read(_timeline, room.timeline, "timeline", room_id)
    # A timeline that is there and cannot be read is a gap: its events are asked for one page at a time, as after any.
    has_gap = timeline.limited is True if timeline else room.timeline is not ABSENT
    timeline = timeline or _Timeline()
    prev_batch = timeline.prev_batch
    state_after = room.unstable_state_after if room.state_after is ABSENT else room.state_after
    is_state_after = state_after is not ABSENT
    state = state_after if is_state_after else room.state
    count, thread_counts = _counts(decoding, room, room_id)
    return JoinedRoom(
        room_id=room_id,
        timeline=tuple(read_event(bytes(event), room_id, "timeline") for event in timeline.events or ()),
        limited=has_gap,
        prev_batch=prev_batch if isinstance(prev_batch, str) and len(prev_batch) <= MAX_TOKEN else None,
        state=tuple(read_event(bytes(event), room_id, "state") for event in decoding.events(state, "state", room_id)),
        is_state_after=is_state_after,
        receipts=tuple(islice(_receipts(decoding, room.ephemeral, room_id, user_id), _MAX_RECEIPTS)),
        notification_count=count,
        thread_counts=thread_counts,
        summary=_room_summary(decoding, room.summary, room_id),
        sticky=tuple(
            read_event(bytes(event), room_id, "sticky") for event in decoding.events(room.sticky, "sticky", room_id)
        ),
    )


def _receipts(decoding: PartialDecoder, raw: msgspec.Raw, room_id: RoomId, user_id: str) -> Iterator[Receipt]:
    for part in decoding.events(raw, "ephemeral", room_id):
        event = decoding.read(_event, part, "ephemeral", room_id)
        for event_id, by_type in event.content.items() if event and event.type == "m.receipt" else ():
            if isinstance(by_type, dict) and is_event_id(event_id):
                for type_ in _OWN_RECEIPTS:
                    by_user = by_type.get(type_)
                    # Only the user's own: homeservers send everybody's receipts of the room.
                    # Test: test_only_own_read_receipts_are_kept.
                    receipt = by_user.get(user_id) if isinstance(by_user, dict) else None
                    if isinstance(receipt, dict):
                        thread = receipt.get("thread_id")
                        yield Receipt(room_id, event_id, thread if isinstance(thread, str) else None)


def _counts(decoding: PartialDecoder, room: _Room, room_id: RoomId) -> tuple[int | None, dict[str, int]]:
    """The counts of the room and of its threads. If one of them cannot be read, the room's is None: nothing is told."""
    main = decoding.read(_count, room.unread_notifications, "unread_notifications", room_id)
    told: dict[str, _Count] | None = {}
    if room.unread_thread_notifications is not ABSENT:
        raw = room.unread_thread_notifications
        told = decoding.read(_thread_counts, raw, "unread_thread_notifications", room_id)
    threads = {root: _bounded(count.notification_count) for root, count in (told or {}).items()}
    sound = {root: count for root, count in threads.items() if count is not None}
    if main is None or told is None or len(sound) < len(threads):
        return None, {}
    return _bounded(main.notification_count), sound


def _room_summary(decoding: PartialDecoder, raw: msgspec.Raw, room_id: RoomId) -> RoomSummary:
    summary = decoding.read(_summary, raw, "summary", room_id)
    if summary is None:
        return RoomSummary()
    heroes = None if summary.heroes is None else tuple(u for u in summary.heroes[:_MAX_HEROES] if is_user_id(u))
    return RoomSummary(_bounded(summary.joined), _bounded(summary.invited), heroes)


def _bounded(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= MAX_INTEGER else None
