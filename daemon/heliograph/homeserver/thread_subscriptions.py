"""Asks which threads the user follows (MSC4306)."""

from __future__ import annotations

from heliograph.core.ids import EventId, RoomId
from heliograph.errors import Refused
from heliograph.homeserver.address import segment
from heliograph.homeserver.session import Session

_UNSTABLE = "/_matrix/client/unstable/io.element.msc4306"
_MAX_ANSWER = 64 * 1024


async def fetch_subscription(session: Session, room_id: RoomId, root: EventId) -> bool:
    """Whether the user follows the thread with this root. Raises ServerError; Refused if the homeserver knows nothing
    of that, or the user may not know."""
    path = f"{_UNSTABLE}/rooms/{segment(room_id)}/thread/{segment(root)}/subscription"
    try:
        await session.request("GET", path, limit=_MAX_ANSWER)
    except Refused as refusal:
        if refusal.status == 404 and refusal.errcode == "M_NOT_FOUND":
            return False
        raise
    return True
