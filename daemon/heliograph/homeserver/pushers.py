"""Reads and sets pushers: GET /pushers, POST /pushers/set ("Push Notifications"; MSC3881 for `enabled`,
`device_id`)."""

from __future__ import annotations

from typing import Any

from heliograph.core.pushers.pusher import Pusher
from heliograph.homeserver.decoding import decode_as, optional
from heliograph.homeserver.session import Session

_UNSTABLE = "org.matrix.msc3881."


async def fetch_pushers(session: Session) -> tuple[Pusher, ...]:
    """The user's pushers. Entries that cannot be read are left out. Raises ServerError."""
    answer = await session.request("GET", "/_matrix/client/v3/pushers")
    entries = decode_as(dict[str, list[Any]], answer).get("pushers", [])
    pushers = (_read(entry) for entry in entries)
    return tuple(pusher for pusher in pushers if pusher is not None)


async def set_pusher(session: Session, pusher: Pusher) -> None:
    """Creates the pusher, or replaces the one with its app id and pushkey. Raises ServerError.

    Never call this with what the server has already: Synapse starts the pusher anew, and drops pushes that wait."""
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
        # Sent only to switch off: a server that knows MSC3881 switches on a pusher without this field, and the others
        # need not see a field that they do not know.
        body["enabled"] = body[f"{_UNSTABLE}enabled"] = False
    await session.request_json("POST", "/_matrix/client/v3/pushers/set", body=body)


async def remove_pusher(session: Session, app_id: str, pushkey: str) -> None:
    """Removes the pusher with this app id and pushkey, if there is one. Raises ServerError."""
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
