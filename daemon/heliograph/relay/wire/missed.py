"""A push made of an entry of GET /notifications, for one that the homeserver could not deliver."""

from __future__ import annotations

from typing import Any

from heliograph.core.events import Json
from heliograph.relay.model.pushers import Twin
from heliograph.relay.wire.sync import BROKEN, loads

_OF_EVENT = ("type", "sender", "content")


def missed_push(entry: bytes, twin: Twin) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The push's notification and its device, as the Push Gateway API has them. None: nothing in it is to ring.

    Names of people and rooms, and the unread count, are left out: an entry does not tell them.
    """
    try:
        told = loads(entry)
    except BROKEN:
        return None
    event = told.get("event") if isinstance(told, dict) else None
    actions = told.get("actions") if isinstance(told, dict) else None
    if not isinstance(event, dict) or not isinstance(actions, list) or told.get("read") is True:
        return None
    notification = {"event_id": event.get("event_id"), "room_id": told.get("room_id"), "prio": "high"}
    data = twin.original.get("data")
    if not isinstance(data, dict) or data.get("format") != "event_id_only":
        notification |= {name: event[name] for name in _OF_EVENT if name in event}
    return notification, {"tweaks": _tweaks(actions)}


def _tweaks(actions: list[Any]) -> Json:
    set_ = [each for each in actions if isinstance(each, dict) and isinstance(each.get("set_tweak"), str)]
    # A tweak without a value is switched on (Client-Server API, "Actions").
    return {each["set_tweak"]: each.get("value", True) for each in set_}
