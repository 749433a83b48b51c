"""Turns one entry of `rooms.join` in a /sync into a JoinedRoom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from heliograph.core.events import JoinedRoom, Receipt, RoomSummary
from heliograph.core.ids import EventId, RoomId, is_event_id, is_user_id
from heliograph.homeserver.bounds import MAX_INTEGER, MAX_TOKEN
from heliograph.homeserver.event import read_event
from heliograph.homeserver.parts import ABSENT, PartialDecoder, decoder

_MAX_HEROES = 10
_OWN_RECEIPTS = ("m.read", "m.read.private")


class _Room(msgspec.Struct):
    timeline: msgspec.Raw = ABSENT
    state: msgspec.Raw = ABSENT
    state_after: msgspec.Raw = ABSENT
    unstable_state_after: msgspec.Raw = msgspec.field(default=ABSENT, name="org.matrix.msc4222.state_after")
    ephemeral: msgspec.Raw = ABSENT
    account_data: msgspec.Raw = ABSENT
    unread_notifications: msgspec.Raw = ABSENT
    unread_thread_notifications: msgspec.Raw = ABSENT
    summary: msgspec.Raw = ABSENT
    sticky: msgspec.Raw = msgspec.field(default=ABSENT, name="msc4354_sticky")


class _Timeline(msgspec.Struct):
    events: list[msgspec.Raw] | None = None
    limited: Any = None
    prev_batch: Any = None


class _Event(msgspec.Struct):
    """An event of `ephemeral` or of the room's `account_data`."""

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
_counts = decoder(dict[str, _Count])
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
    return JoinedRoom(
        room_id=room_id,
        timeline=tuple(read_event(bytes(event), room_id, "timeline") for event in timeline.events or ()),
        limited=has_gap,
        prev_batch=prev_batch if isinstance(prev_batch, str) and len(prev_batch) <= MAX_TOKEN else None,
        state=tuple(read_event(bytes(event), room_id, "state") for event in decoding.events(state, "state", room_id)),
        is_state_after=is_state_after,
        receipts=tuple(_receipts(decoding, room.ephemeral, room_id, user_id)),
        fully_read=_fully_read(decoding, room.account_data, room_id),
        notification_count=_notification_count(decoding, room, room_id),
        summary=_room_summary(decoding, room.summary, room_id),
        sticky=tuple(
            read_event(bytes(event), room_id, "sticky") for event in decoding.events(room.sticky, "sticky", room_id)
        ),
    )


def _contents(
    decoding: PartialDecoder, raw: msgspec.Raw, where: str, room_id: RoomId, type_: str
) -> Iterator[dict[str, Any]]:
    for part in decoding.events(raw, where, room_id):
        event = decoding.read(_event, part, where, room_id)
        if event is not None and event.type == type_:
            yield event.content


def _receipts(decoding: PartialDecoder, raw: msgspec.Raw, room_id: RoomId, user_id: str) -> Iterator[Receipt]:
    for content in _contents(decoding, raw, "ephemeral", room_id, "m.receipt"):
        for event_id, by_type in content.items():
            if not isinstance(by_type, dict) or not is_event_id(event_id):
                continue
            for type_ in _OWN_RECEIPTS:
                by_user = by_type.get(type_)
                # Only the user's own: homeservers send everybody's receipts of the room.
                # Test: test_only_own_read_receipts_are_kept.
                receipt = by_user.get(user_id) if isinstance(by_user, dict) else None
                if isinstance(receipt, dict):
                    thread = receipt.get("thread_id")
                    yield Receipt(room_id, event_id, thread if isinstance(thread, str) else None)


def _fully_read(decoding: PartialDecoder, raw: msgspec.Raw, room_id: RoomId) -> EventId | None:
    for content in _contents(decoding, raw, "room account_data", room_id, "m.fully_read"):
        event_id = content.get("event_id")
        if is_event_id(event_id):
            return event_id
    return None


def _notification_count(decoding: PartialDecoder, room: _Room, room_id: RoomId) -> int | None:
    # With `unread_thread_notifications` the first count leaves threads out, so they are added up here.
    # Test: test_unread_counts_of_room_and_threads_are_one.
    main = decoding.read(_count, room.unread_notifications, "unread_notifications", room_id)
    if main is None or main.notification_count is None:
        return None
    threads = decoding.read(_counts, room.unread_thread_notifications, "unread_thread_notifications", room_id) or {}
    return _bounded(main.notification_count + sum(thread.notification_count or 0 for thread in threads.values()))


def _room_summary(decoding: PartialDecoder, raw: msgspec.Raw, room_id: RoomId) -> RoomSummary:
    summary = decoding.read(_summary, raw, "summary", room_id)
    if summary is None:
        return RoomSummary()
    heroes = None if summary.heroes is None else tuple(u for u in summary.heroes[:_MAX_HEROES] if is_user_id(u))
    return RoomSummary(_bounded(summary.joined), _bounded(summary.invited), heroes)


def _bounded(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= MAX_INTEGER else None
