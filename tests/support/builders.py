"""Values for tests: defaults for all but what the test is about."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import msgspec

from heliograph.core.encryption.values import MEGOLM
from heliograph.core.events import Event, JoinedRoom, ServerNotification, StrippedState, Sync
from heliograph.core.ids import RoomId, UserId, event_key
from heliograph.core.notification import Notification
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.record import Content, Delivery
from heliograph.core.room import RoomFacts
from heliograph.core.text.names import name_key

ME = UserId("@me:example.org")
ALICE = UserId("@alice:example.org")
BOB = UserId("@bob:example.org")
ROOM = RoomId("!room:example.org")

_serial = itertools.count(1)


def make_event(
    body: str | None = "hello",
    *,
    event_id: str | None = None,
    room_id: str = ROOM,
    type: str = "m.room.message",
    sender: str = ALICE,
    content: dict[str, Any] | None = None,
    state_key: str | None = None,
    ts: int = 1_700_000_000_000,
    **raw: Any,
) -> Event:
    """A text message, unless told otherwise. `raw` adds top-level properties."""
    event_id = event_id or f"$event{next(_serial)}"
    if content is None:
        content = {"msgtype": "m.text", "body": body}
    json: dict[str, Any] = {
        "event_id": event_id,
        "room_id": room_id,
        "type": type,
        "sender": sender,
        "origin_server_ts": ts,
        "content": content,
        **raw,
    }
    if state_key is not None:
        json["state_key"] = state_key
    return Event(
        event_id=event_key(event_id),
        room_id=RoomId(room_id),
        type=type,
        sender=UserId(sender),
        origin_server_ts=ts,
        content=content,
        raw=json,
        state_key=state_key,
    )


def make_encrypted(event: Event, session_id: str = "session") -> Event:
    """The event as it comes encrypted for `FakeEncryption`: its payload in clear, its relation outside."""
    payload = {"type": event.type, "content": dict(event.content), "room_id": event.room_id}
    content = {
        "algorithm": MEGOLM,
        "session_id": session_id,
        "ciphertext": msgspec.json.encode(payload).decode(),
        **{name: event.content[name] for name in ("m.relates_to",) if name in event.content},
    }
    raw = {**event.raw, "type": "m.room.encrypted", "content": content}
    return replace(event, type="m.room.encrypted", content=content, raw=raw)


def make_edit(target: str, body: str = "hello, corrected", *, mentions: str | None = None, **options: Any) -> Event:
    """An edit of `target` by its sender (Alice, unless told otherwise). `mentions`: the user whom it mentions."""
    content: dict[str, Any] = {
        "msgtype": "m.text",
        "body": f"* {body}",
        "m.new_content": {"msgtype": "m.text", "body": body},
        "m.relates_to": {"rel_type": "m.replace", "event_id": target},
    }
    if mentions is not None:
        content["m.mentions"] = content["m.new_content"]["m.mentions"] = {"user_ids": [mentions]}
    return make_event(content=content, **options)


def make_redaction(target: str, **options: Any) -> Event:
    """A redaction of `target`."""
    return make_event(type="m.room.redaction", content={"redacts": target}, redacts=target, **options)


def make_stripped(
    type: str,
    content: dict[str, Any],
    *,
    state_key: str = "",
    sender: str = ALICE,
    room_id: str = ROOM,
) -> StrippedState:
    """An event of `invite_state`."""
    raw = {"type": type, "state_key": state_key, "sender": sender, "content": content, "room_id": room_id}
    return StrippedState(type=type, state_key=state_key, sender=UserId(sender), content=content, raw=raw)


def make_facts(room_id: str = ROOM, **facts: Any) -> RoomFacts:
    """A group of five with a name, everything known, in which no two names look alike."""
    defaults: dict[str, Any] = {
        "is_complete": True,
        "name": "Lunch",
        "joined_member_count": 5,
        "own_display_name": "Me",
        "power_levels": {},
        "room_version": "11",
        "names": {ALICE: "Alice", BOB: "Bob"},
    }
    known = defaults | facts
    holders = {name_key(name): (user_id,) for user_id, name in known["names"].items() if name}
    return RoomFacts(room_id=RoomId(room_id), **({"holders": holders} | known))


def make_sync(*events: Event, next_batch: str = "s2", **room: Any) -> Sync:
    """A sync that brings these events, in one room; `room` are properties of the JoinedRoom."""
    room_id = events[0].room_id if events else room.pop("room_id", ROOM)
    return Sync(next_batch=next_batch, joined=(JoinedRoom(room_id=room_id, timeline=events, **room),))


def make_server_notification(event: Event, *actions: Any, is_read: bool = False) -> ServerNotification:
    """An entry of `notifications`; its actions are to notify, unless given."""
    return ServerNotification(event=event, actions=actions or ("notify",), ts=event.origin_server_ts, is_read=is_read)


def make_content(text: str = "hello", **content: Any) -> Content:
    """What a delivery of Alice's message in the room Lunch says."""
    return Content(**({"room_title": "Lunch", "sender_name": "Alice", "text": text} | content))


def make_delivery(event_id: str | None = None, *, text: str = "hello", **delivery: Any) -> Delivery:
    """A pending delivery of a message by Alice."""
    defaults: dict[str, Any] = {
        "event_id": event_key(event_id or f"$event{next(_serial)}"),
        "room_id": ROOM,
        "sender": ALICE,
        "content": make_content(text),
    }
    return Delivery(**(defaults | delivery))


def make_notification(summary: str = "Alice", body: str = "hello", **notification: Any) -> Notification:
    """A silent message notification."""
    return Notification(**({"summary": summary, "body": body, "account": ME} | notification))


def make_pusher(**pusher: Any) -> Pusher:
    """An HTTP pusher of the user's phone."""
    defaults: dict[str, Any] = {
        "app_id": "org.example.phone",
        "pushkey": "phone-key",
        "kind": "http",
        "app_display_name": "Phone app",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": "https://push.example.org/_matrix/push/v1/notify"},
    }
    return Pusher(**(defaults | pusher))
