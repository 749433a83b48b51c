"""Finds out which invites are still open: by sliding sync, and by GET /room_summary (MSC3266) for a room of which that
tells nothing.

/sync does not help: with a filter for no rooms Synapse leaves invites out, and with any other filter a first sync goes
through all rooms. /room_summary alone does not either: Synapse has no summary of a room that none of its users is in
(400, "Missing via to query remote room"), nor of one with an odd id, and strangers may invite to both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Any

from heliograph.core.ids import RoomId
from heliograph.core.text.clean import count_things
from heliograph.errors import BadAnswer, Refused
from heliograph.homeserver.address import segment
from heliograph.homeserver.decoding import decode_as, missing_is_refused
from heliograph.homeserver.session import Session
from heliograph.homeserver.sliding_sync import fetch_invites_by_sliding_sync
from heliograph.system.tasks import together

log = logging.getLogger(__name__)

_AT_ONCE = 8


async def fetch_open_invites(session: Session, room_ids: Collection[RoomId]) -> frozenset[RoomId]:
    """The rooms of these to which the user is invited. A room is left out if the server does not tell about it."""
    if not room_ids:
        return frozenset()
    told = await _by_sliding_sync(session, sorted(room_ids))
    told |= await _by_summaries(session, sorted(set(room_ids).difference(told)))
    return frozenset(room_id for room_id, is_open in told.items() if is_open)


async def _by_sliding_sync(session: Session, room_ids: Sequence[RoomId]) -> dict[RoomId, bool]:
    try:
        return await fetch_invites_by_sliding_sync(session, room_ids)
    except (Refused, BadAnswer) as no:
        if isinstance(no, BadAnswer) and no.status >= 500:
            raise
        log.info("No sliding sync for %s: %s", count_things(len(room_ids), "invite"), no)
        return {}


async def _by_summaries(session: Session, room_ids: Sequence[RoomId]) -> dict[RoomId, bool]:
    # Strangers may send hundreds of invites, and each of these requests may have the homeserver ask another one.
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

    answers = await together(is_invited(room_id) for room_id in room_ids)
    return dict(zip(room_ids, answers, strict=True))
