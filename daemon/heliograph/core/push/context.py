"""The facts of the user and the room that judging needs besides the event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any

from heliograph.core.value_type import value_type


@value_type
class Context:
    """Facts about the user and the room as the event finds them. A condition whose fact is missing does not match."""

    user_id: str
    display_name: str | None = None
    """The user's own name in this room."""
    member_count: int | None = None
    """Joined members, as Synapse counts; not the invited ones."""
    power_levels: Mapping[str, Any] | None = None
    """Content of `m.room.power_levels`. None with known creators: the room has no such event."""
    creators: frozenset[str] = frozenset()
    room_version: str | None = None
    sender_power_level: int | None = None
    """The sender's power level, if it is known otherwise than by `power_levels` and `creators`."""
    related: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The events that this one relates to, whole, by `rel_type`; a reply's by `m.in_reply_to` (MSC3664)."""
    thread_subscribed: bool | None = None
    """MSC4306: the user is subscribed to the event's thread."""


FACTS: Mapping[str, type] = MappingProxyType(
    {
        "display_name": str,
        "member_count": int,
        "power_levels": dict,
        "creators": list,
        "room_version": str,
        "sender_power_level": int,
        "related": dict,
        "thread_subscribed": bool,
    }
)
"""The type that each of these facts has in the JSON of a case (`core.push.case`)."""
