"""Pushers: GET /pushers and POST /pushers/set ("Push Notifications"; MSC3881 for `enabled` and `device_id`)."""

from __future__ import annotations

from typing import Any

from heliograph.core.pushers.pusher import Pusher
from heliograph.homeserver.decoding import decode_as, optional
from heliograph.homeserver.session import Session

_UNSTABLE = "org.matrix.msc3881."


async def fetch_pushers(session: Session) -> tuple[Pusher, ...]:
    """The user's pushers; entries that are none are left out."""
    answer = await session.request("GET", "/_matrix/client/v3/pushers")
    entries = decode_as(dict[str, list[Any]], answer).get("pushers", [])
    pushers = (_read(entry) for entry in entries)
    return tuple(pusher for pusher in pushers if pusher is not None)


async def set_pusher(session: Session, pusher: Pusher) -> None:
    """Creates or replaces it. Never call this with what the server has already: Synapse drops what is pending then."""
    body: dict[str, Any] = {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "kind": pusher.kind,
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "lang": pusher.lang,
        "data": pusher.data,
        # A phone with two accounts has one pushkey: without `append` the other user's pusher would be deleted.
        "append": pusher.kind == "http",
    }
    if pusher.profile_tag is not None:
        body["profile_tag"] = pusher.profile_tag
    if not pusher.is_enabled:
        # Only then: servers that know MSC3881 enable what says nothing, and the others need not see the words.
        body["enabled"] = body[f"{_UNSTABLE}enabled"] = False
    await session.request_json("POST", "/_matrix/client/v3/pushers/set", body=body)


async def remove_pusher(session: Session, app_id: str, pushkey: str) -> None:
    """There is none of this name afterwards, whether or not there was before."""
    body = {"app_id": app_id, "pushkey": pushkey, "kind": None}
    await session.request_json("POST", "/_matrix/client/v3/pushers/set", body=body)


def _read(entry: Any) -> Pusher | None:
    if not isinstance(entry, dict):
        return None
    app_id, pushkey, kind = (optional(entry, str, key) for key in ("app_id", "pushkey", "kind"))
    if app_id is None or pushkey is None or kind is None:
        return None
    data = entry.get("data")
    enabled = optional(entry, bool, "enabled", f"{_UNSTABLE}enabled")
    return Pusher(
        app_id=app_id,
        pushkey=pushkey,
        kind=kind,
        app_display_name=optional(entry, str, "app_display_name") or "",
        device_display_name=optional(entry, str, "device_display_name") or "",
        lang=optional(entry, str, "lang") or "",
        data=data if isinstance(data, dict) else {},
        profile_tag=optional(entry, str, "profile_tag"),
        is_enabled=enabled is not False,
        device_id=optional(entry, str, "device_id", f"{_UNSTABLE}device_id"),
    )
