"""Finds rooms: by alias (GET /directory/room/{alias}), and those that the user is in (GET /joined_rooms)."""

from __future__ import annotations

from typing import Any

from heliograph.core.ids import RoomId, is_room_id
from heliograph.errors import BadAnswer
from heliograph.homeserver.address import segment
from heliograph.homeserver.decoding import decode_as
from heliograph.homeserver.session import Session


async def resolve_alias(session: Session, alias: str) -> RoomId:
    """The id of the room with this alias. Raises Refused if there is none, and other ServerErrors."""
    answer = await session.request("GET", f"/_matrix/client/v3/directory/room/{segment(alias)}")
    room_id = decode_as(dict[str, Any], answer).get("room_id")
    if not is_room_id(room_id):
        raise BadAnswer(200, "an alias came without the id of its room")
    return room_id


async def fetch_joined_rooms(session: Session) -> list[RoomId]:
    """The ids of all rooms that the user is in. Raises ServerError."""
    answer = await session.request("GET", "/_matrix/client/v3/joined_rooms")
    room_ids = decode_as(dict[str, Any], answer).get("joined_rooms")
    return [room_id for room_id in room_ids if is_room_id(room_id)] if isinstance(room_ids, list) else []
