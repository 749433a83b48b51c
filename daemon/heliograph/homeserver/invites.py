"""Which invites are still open: GET /room_summary tells the user's own membership (MSC3266).

A first sync that asks for no rooms leaves invites out on Synapse, and one that asks for any goes through them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from heliograph.core.ids import RoomId
from heliograph.errors import Refused
from heliograph.homeserver.address import segment
from heliograph.homeserver.decoding import decode_as, missing_is_refused
from heliograph.homeserver.session import Session
from heliograph.tasks import together

_AT_ONCE = 8


async def fetch_open_invites(session: Session, room_ids: Collection[RoomId]) -> frozenset[RoomId]:
    """Those of the rooms that the user is invited to. A room the server does not tell about is left out."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def is_invited(room_id: RoomId) -> bool:
        path = f"/_matrix/client/v1/room_summary/{segment(room_id)}"
        try:
            with missing_is_refused():
                async with turns:
                    answer = decode_as(dict[str, Any], await session.request("GET", path))
        except Refused:
            return False
        return answer.get("membership") == "invite"

    rooms = sorted(room_ids)
    answers = await together(is_invited(room_id) for room_id in rooms)
    return frozenset(room_id for room_id, is_open in zip(rooms, answers, strict=True) if is_open)
