"""Asks about many rooms in one request, by simplified sliding sync (MSC4186)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from heliograph.core.events import Event, Json, StrippedState
from heliograph.core.ids import RoomId
from heliograph.core.room import RoomFacts
from heliograph.homeserver.bounds import MAX_INTEGER
from heliograph.homeserver.decoding import decode_as, missing_is_refused, optional
from heliograph.homeserver.event import BROKEN, read_event, read_stripped
from heliograph.homeserver.heroes import with_heroes
from heliograph.homeserver.session import Session
from heliograph.homeserver.sync_filter import STATE_TYPES
from heliograph.ports.homeserver import Member

_PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
_CONNECTION = "io.github.heliograph.%s"
"""The connection's name (`conn_id`), one for all requests of a kind: the homeserver keeps state for each connection,
and forgets that of the last request when the next one comes under the same name."""
_MAX_ANSWER = 32 * 1024 * 1024


class _Answer(msgspec.Struct):
    rooms: dict[str, msgspec.Raw]


class _Invited(msgspec.Struct):
    invite_state: list[msgspec.Raw] | None = None


class _Room(msgspec.Struct):
    joined_count: int
    required_state: list[msgspec.Raw]
    invited_count: int | None = None
    heroes: list[Any] | None = None


async def fetch_by_sliding_sync(session: Session, room_ids: Sequence[RoomId]) -> dict[RoomId, RoomFacts]:
    """The complete facts of those of these rooms about which the server told everything. Raises Refused if it has no
    sliding sync, and other ServerErrors."""
    wanted = [[type_, ""] for type_ in STATE_TYPES if type_ != "m.room.member"]
    subscription = {"timeline_limit": 0, "required_state": [*wanted, ["m.room.member", "$ME"]]}
    rooms = await _ask(session, "room_facts", dict.fromkeys(room_ids, subscription))
    facts = (_read(rooms[room_id], room_id, session.user_id) for room_id in room_ids if room_id in rooms)
    return {room.room_id: room for room in facts if room is not None}


async def fetch_invites_by_sliding_sync(session: Session, room_ids: Sequence[RoomId]) -> dict[RoomId, bool]:
    """For each of these rooms that the server told about: True if the user is invited there. Raises Refused if it has
    no sliding sync, and other ServerErrors."""
    subscription = {"timeline_limit": 0, "required_state": []}
    rooms = await _ask(session, "open_invites", dict.fromkeys(room_ids, subscription))
    return {room_id: _is_invite(rooms[room_id], room_id, session.user_id) for room_id in room_ids if room_id in rooms}


async def _ask(session: Session, kind: str, subscriptions: dict[RoomId, Json]) -> dict[str, msgspec.Raw]:
    body = {"conn_id": _CONNECTION % kind, "room_subscriptions": subscriptions}
    with missing_is_refused():
        answer = await session.request("POST", _PATH, query={"timeout": "0"}, body=body, limit=_MAX_ANSWER)
    return decode_as(_Answer, answer).rooms


def _is_invite(raw: msgspec.Raw, room_id: RoomId, me: str) -> bool:
    """True if `invite_state` says that the user is invited. A room at which the user knocks has an `invite_state`, too,
    and a membership of "knock" there."""
    try:
        state = msgspec.json.decode(raw, type=_Invited).invite_state or []
    except BROKEN:
        return False
    events = (read_stripped(bytes(part), room_id, "invite_state") for part in state)
    return any(
        isinstance(event, StrippedState)
        and (event.type, event.state_key) == ("m.room.member", me)
        and event.content.get("membership") == "invite"
        for event in events
    )


def _read(raw: msgspec.Raw, room_id: RoomId, me: str) -> RoomFacts | None:
    try:
        room = msgspec.json.decode(raw, type=_Room)
    except BROKEN:
        return None
    facts = RoomFacts(
        room_id,
        power_levels={},
        joined_member_count=_bounded(room.joined_count),
        invited_member_count=None if room.invited_count is None else _bounded(room.invited_count),
    )
    is_joined = False
    for part in room.required_state:
        event = read_event(bytes(part), room_id, "state")
        if not isinstance(event, Event):
            continue
        facts = facts.after(event, me)
        if event.type == "m.room.member" and event.state_key == me:
            is_joined = event.content.get("membership") == "join"
    if not is_joined:
        return None
    told = (hero for hero in room.heroes or () if isinstance(hero, dict))
    heroes = (
        (hero.get("user_id"), Member(optional(hero, str, "displayname"), optional(hero, str, "avatar_url")))
        for hero in told
    )
    return replace(with_heroes(facts, heroes, me), is_complete=True)


def _bounded(count: int) -> int:
    return min(max(count, 0), MAX_INTEGER)
