"""Whether a pusher could be put back at the homeserver if the relay left, and what stands in the way."""

from __future__ import annotations

from enum import StrEnum

from heliograph.core.events import Json
from heliograph.relay.model.pushers import Twin, is_unclaimed

ABSENT_MS = 30 * 86_400_000
"""Whoever was not there for so long may not come back."""
NEEDED = ("kind", "app_display_name", "device_display_name", "lang")
"""Besides its name and its gateway, what homeservers want of a pusher. Source: POST /pushers/set."""


class Obstacle(StrEnum):
    """Why a pusher could not be put back, as the rest of a sentence."""

    UNKNOWN_USER = "whose user is not known until their next request, since relay.db was lost"
    INCOMPLETE = "of which the relay lacks what the homeserver asks for: their apps have to register anew"
    REJECTED = "that their push gateway has rejected: the homeserver deletes them at their next push"
    ABSENT = "of users whose desktops were not here for 30 days: theirs stay until they come back"


def obstacle_of(twin: Twin, *, is_rejected: bool, seen_ms: int | None, now_ms: int) -> Obstacle | None:
    """What stands in the way of this twin's original; None: nothing but that its user has to send a request.

    `seen_ms`: when (ms since 1970) a desktop of the user was last there; None: that is not known.
    """
    if is_unclaimed(twin):
        return Obstacle.UNKNOWN_USER
    if is_rejected:
        return Obstacle.REJECTED
    if not _is_complete(twin.original):
        return Obstacle.INCOMPLETE
    if seen_ms is not None and now_ms - seen_ms > ABSENT_MS:
        return Obstacle.ABSENT
    return None


def _is_complete(original: Json) -> bool:
    data = original.get("data")
    has_gateway = isinstance(data, dict) and isinstance(data.get("url"), str)
    return has_gateway and all(isinstance(original.get(name), str) for name in NEEDED)
