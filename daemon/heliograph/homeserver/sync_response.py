"""Turns the body of a /sync into a Sync. Each event is decoded alone, so that a malformed one costs only itself.

Decoding takes some microseconds for each event, so that after a long absence a thread is worth it; nothing here has
state or does IO.
"""

from __future__ import annotations

import msgspec

from heliograph.core.events import InvitedRoom, Malformed, ServerNotification, Sync
from heliograph.core.mending import MAX_DEPTH, mend
from heliograph.homeserver import account_data
from heliograph.homeserver.answer import bad_answer
from heliograph.homeserver.bounds import MAX_TOKEN
from heliograph.homeserver.event import BROKEN, MAX_EVENT, read_notification, read_stripped
from heliograph.homeserver.joined_room import read_joined_room
from heliograph.homeserver.parts import ABSENT, PartialDecoder, decoder

_EVENT_LEVEL = 7
"""The level at which events are nested: body, rooms, join, room, timeline, events, event."""


class _Body(msgspec.Struct):
    next_batch: msgspec.Raw = ABSENT
    rooms: msgspec.Raw = ABSENT
    account_data: msgspec.Raw = ABSENT
    to_device: msgspec.Raw = ABSENT
    device_one_time_keys_count: msgspec.Raw = ABSENT
    device_unused_fallback_key_types: msgspec.Raw = ABSENT
    device_lists: msgspec.Raw = ABSENT
    notifications: msgspec.Raw = ABSENT
    unstable_notifications: msgspec.Raw = msgspec.field(default=ABSENT, name="org.matrix.msc3361.notifications")


class _Rooms(msgspec.Struct):
    join: msgspec.Raw = ABSENT
    invite: msgspec.Raw = ABSENT
    leave: msgspec.Raw = ABSENT


class _DeviceLists(msgspec.Struct):
    changed: msgspec.Raw = ABSENT


class _Invited(msgspec.Struct):
    invite_state: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_any = msgspec.json.Decoder()
_rooms = decoder(_Rooms)
_device_lists = decoder(_DeviceLists)
_invited = decoder(_Invited)
_list = decoder(list[msgspec.Raw])
_counts = decoder(dict[str, int])
_names = decoder(list[str])

ONE_TIME_KEY = "signed_curve25519"
"""The algorithm of the one-time keys and fallback keys that our device publishes."""


def decode_sync(body: bytes, *, user_id: str, device_id: str) -> Sync:
    """All of the body that is as the specification says. Raises BadAnswer if the body is no answer to a /sync at
    all."""
    answer = _open(body)
    next_batch = _next_batch(answer.next_batch)
    if next_batch is None:
        raise bad_answer(200, body)
    decoding = PartialDecoder()
    rooms = decoding.read(_rooms, answer.rooms, "rooms") or _Rooms()
    joined = (
        read_joined_room(decoding, raw, room_id, user_id)
        for room_id, raw in decoding.by_room(rooms.join, "rooms.join").items()
    )
    return Sync(
        next_batch=next_batch,
        joined=tuple(room for room in joined if room is not None),
        invited=_invited_rooms(decoding, rooms.invite),
        left=tuple(decoding.by_room(rooms.leave, "rooms.leave")),
        account_data=account_data.read_account_data(decoding, answer.account_data, device_id),
        to_device=_to_device(decoding, answer.to_device),
        # The stable name first: a server that sends both means the same.
        # Test: test_notifications_are_read_under_both_names.
        notifications=_notifications(decoding, answer.notifications)
        or _notifications(decoding, answer.unstable_notifications),
        one_time_keys=_one_time_keys(decoding, answer.device_one_time_keys_count),
        has_unused_fallback_key=_has_fallback_key(decoding, answer.device_unused_fallback_key_types),
        has_changed_devices=_has_changed_devices(decoding, answer.device_lists, user_id),
        malformed=tuple(decoding.malformed),
        size=len(body),
    )


def _open(body: bytes) -> _Body:
    try:
        return _body.decode(body)
    except BROKEN:
        if body.lstrip()[:1] != b"{" or body.rstrip()[-1:] != b"}":
            raise bad_answer(200, body) from None
    # It is an object from its first to its last character, so it did not break off: something inside is no JSON to
    # msgspec (a lone surrogate, NaN, nesting). Its other events must ring all the same.
    # Test: test_poison_in_one_event_spoils_nothing_and_does_not_silence_it.
    try:
        return _body.decode(mend(body, MAX_DEPTH + _EVENT_LEVEL))
    except BROKEN:
        raise bad_answer(200, body) from None


def _next_batch(raw: msgspec.Raw) -> str | None:
    try:
        token = _any.decode(raw)
    except BROKEN:
        return None
    return token if isinstance(token, str) and 0 < len(token) <= MAX_TOKEN else None


def _invited_rooms(decoding: PartialDecoder, raw: msgspec.Raw) -> tuple[InvitedRoom, ...]:
    rooms = []
    for room_id, entry in decoding.by_room(raw, "rooms.invite").items():
        room = decoding.read(_invited, entry, "rooms.invite", room_id)
        events = decoding.events(room.invite_state, "invite_state", room_id) if room else []
        state = tuple(read_stripped(bytes(event), room_id, "invite_state") for event in events)
        rooms.append(InvitedRoom(room_id, state))
    return tuple(rooms)


def _to_device(decoding: PartialDecoder, raw: msgspec.Raw) -> tuple[bytes, ...]:
    kept = []
    for event in decoding.events(raw, "to_device"):
        # Kept as bytes: encryption knows an event again by the hash of its text, when it comes twice.
        if len(event) <= MAX_EVENT and (text := bytes(event))[:1] == b"{":
            kept.append(text)
        else:
            decoding.malformed.append(Malformed("to_device", "not an object, or too large"))
    return tuple(kept)


def _one_time_keys(decoding: PartialDecoder, raw: msgspec.Raw) -> int | None:
    """The number of our one-time keys at the server; None: the sync does not tell. No key of an algorithm is left if
    the list does not name that."""
    counts = decoding.read(_counts, raw, "device_one_time_keys_count")
    return None if counts is None else max(0, counts.get(ONE_TIME_KEY, 0))


def _has_fallback_key(decoding: PartialDecoder, raw: msgspec.Raw) -> bool | None:
    names = decoding.read(_names, raw, "device_unused_fallback_key_types")
    return None if names is None else ONE_TIME_KEY in names


def _has_changed_devices(decoding: PartialDecoder, raw: msgspec.Raw, user_id: str) -> bool:
    """True if the user's own devices changed. Those of other users are not kept track of."""
    lists = decoding.read(_device_lists, raw, "device_lists")
    return lists is not None and user_id in (decoding.read(_names, lists.changed, "device_lists.changed") or ())


def _notifications(decoding: PartialDecoder, raw: msgspec.Raw) -> tuple[ServerNotification | Malformed, ...]:
    return tuple(read_notification(bytes(entry)) for entry in decoding.read(_list, raw, "notifications") or ())
