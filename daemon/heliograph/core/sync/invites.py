"""Turns invites into events: /sync tells them as stripped state, without an event id and a time."""

from __future__ import annotations

from heliograph.core.events import Event, StrippedState
from heliograph.core.ids import NOBODY, EventKey, OwnKey, RoomId, own_key
from heliograph.core.record import RoomRecord

_INVITE = "invite"


def is_invite(event: Event, me: str) -> bool:
    """Returns True if the event invites the user."""
    return event.type == "m.room.member" and event.state_key == me and event.content.get("membership") == "invite"


def is_invite_id(event_id: EventKey) -> bool:
    """Returns True if `invite_id` made this id, and not a homeserver."""
    return event_id.startswith(f"{_INVITE}:")


def invite_id(record: RoomRecord) -> OwnKey:
    """The id of the room's latest invite. After that was declined, a second invite has another id, so it rings."""
    return own_key(_INVITE, f"{record.facts.room_id}:{record.invite_serial}")


def invite_event(room_id: RoomId, invite: StrippedState | None, me: str, record: RoomRecord) -> Event:
    """The invite as an event of its own. One whose membership event is missing still rings, from nobody."""
    content = invite.content if invite is not None else {"membership": "invite"}
    sender = invite.sender if invite is not None else NOBODY
    event_id = invite_id(record)
    raw = {
        "event_id": event_id,
        "room_id": room_id,
        "type": "m.room.member",
        "sender": sender,
        "state_key": me,
        "content": content,
    }
    return Event(event_id, room_id, "m.room.member", sender, 0, content, raw, state_key=me)
