"""The answer to GET /rooms/{roomId}/messages: a room's last events."""

from __future__ import annotations

from typing import Any

_GONE = ("leave", "ban")


def before_leaving(answer: Any, user_id: str) -> list[str]:
    """The ids of the events before the user's last leaving, from an answer with the newest event first.

    Empty if that leaving is not among its events.
    """
    chunk = answer.get("chunk") if isinstance(answer, dict) else None
    events = [event for event in chunk if isinstance(event, dict)] if isinstance(chunk, list) else []
    place = next((place for place, event in enumerate(events) if _is_leaving(event, user_id)), None)
    if place is None:
        return []
    return [event_id for event in events[place + 1 :] if isinstance(event_id := event.get("event_id"), str)]


def _is_leaving(event: dict[str, Any], user_id: str) -> bool:
    content = event.get("content")
    membership = content.get("membership") if isinstance(content, dict) else None
    return event.get("type") == "m.room.member" and event.get("state_key") == user_id and membership in _GONE
