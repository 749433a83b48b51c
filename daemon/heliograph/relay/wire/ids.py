"""Ids that strangers chose, checked before anything is kept under them."""

from __future__ import annotations

from heliograph.core.ids import MAX_ID, is_event_id, is_room_id
from heliograph.core.reading import MAIN, Mark


def is_kept_event(event_id: object) -> bool:
    """Whether a homeserver may have given this id to an event, in the 255 bytes of the specification."""
    return is_event_id(event_id) and len(event_id.encode()) <= MAX_ID


def is_kept_room(room_id: object) -> bool:
    """Whether a homeserver may have given this id to a room, in the 255 bytes of the specification."""
    return is_room_id(room_id) and len(room_id.encode()) <= MAX_ID


def is_kept_mark(room_id: str, mark: Mark) -> bool:
    """Whether a receipt or marker can be one: its event, its thread and its room are named by ids."""
    is_thread = mark.thread_id is None or mark.thread_id == MAIN or is_kept_event(mark.thread_id)
    return is_thread and is_kept_event(mark.event_id) and is_kept_room(room_id)
