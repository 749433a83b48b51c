"""Notifications for homeservers that have no GET /notifications: from the push and the event itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from heliograph.core.events import Json
from heliograph.relay.proxy.upstream import NotAnswered, Upstream
from heliograph.relay.sync.listing import Entry
from heliograph.relay.wire.sync import loads

log = logging.getLogger(__name__)

MAX_EVENT = 256 * 1024


class Synthesis:
    """Makes entries like those of GET /notifications; asks for an event only if the /sync answer does not have it."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def build(
        self,
        authorization: Mapping[str, str],
        room_id: str,
        event_id: str,
        pushed: Json,
        raw: msgspec.Raw | None,
    ) -> Entry | None:
        """The entry for an event. `pushed` is the push's notification, `raw` the event if the /sync answer has it.

        None: there is no such event for this user. Raises NotAnswered.
        """
        event = loads(raw) if raw is not None else await self._fetch(authorization, room_id, event_id)
        if not isinstance(event, dict):
            event = _from_push(pushed, event_id)
        if event is None:
            return None
        # GET /event tells the room, the events of GET /notifications do not.
        event.pop("room_id", None)
        ts = event.get("origin_server_ts")
        ts = ts if isinstance(ts, int) and not isinstance(ts, bool) else 0
        notification = {
            "room_id": room_id,
            "event": event,
            "actions": actions_of_push(pushed),
            "ts": ts,
            "read": False,
            "profile_tag": None,
        }
        return Entry(event_id, room_id, ts, msgspec.json.encode(notification))

    async def _fetch(self, authorization: Mapping[str, str], room_id: str, event_id: str) -> Any:
        path = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/event/{quote(event_id, safe='')}"
        answer = await self._upstream.ask("GET", path, authorization, limit=MAX_EVENT)
        if answer.status in (403, 404):
            return None
        if not answer.is_good:
            raise NotAnswered(f"GET /event was answered with status {answer.status}")
        # An answer that is no object counts as no event.
        return answer.json() or None


def actions_of_push(pushed: Json) -> list[Any]:
    """The push rule's actions, as far as a push tells them: as tweaks."""
    actions: list[Any] = ["notify"]
    devices = pushed.get("devices")
    tweaks = (
        devices[0].get("tweaks") if isinstance(devices, list) and devices and isinstance(devices[0], dict) else None
    )
    for name, value in tweaks.items() if isinstance(tweaks, dict) else ():
        actions.append({"set_tweak": name, "value": value})
    return actions


def _from_push(pushed: Json, event_id: str) -> dict[str, Any] | None:
    """The event as a push tells it, for an invite, which cannot be fetched. None: the push tells too little."""
    if not isinstance(pushed.get("type"), str) or not isinstance(pushed.get("sender"), str):
        return None
    event: dict[str, Any] = {"event_id": event_id, "type": pushed["type"], "sender": pushed["sender"]}
    content = pushed.get("content")
    event["content"] = content if isinstance(content, dict) else {}
    if isinstance(pushed.get("membership"), str):
        event["content"].setdefault("membership", pushed["membership"])
    return event
