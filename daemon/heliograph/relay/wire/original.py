"""The original of a pusher in the `data` of the twin that stands in its place at the homeserver.

By it the pusher can be put back without relay.db: by a relay that has lost the file, by `heliograph relay leave`, or by
hand. The homeserver lists it to the user alone, and passes `data` on with each push to the relay, which takes it out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from heliograph.core.events import Json
from heliograph.core.pushers.relayed import ORIGINAL
from heliograph.core.value_type import value_type
from heliograph.relay.model.pushers import MARK, DirectPusher, Twin
from heliograph.relay.wire.pusher import ENABLED, WAKER_APP_ID, BadPusher, device_in, direct_pusher, key_of

_LONGEST = 2048
"""Characters of a text in it. Longer ones are not the relay's."""
_SHOWN = ("app_display_name", "device_display_name", "profile_tag", "lang")


@value_type
class FoundTwin:
    """What a twin at the homeserver tells of the relay's own pushers."""

    twin: Twin
    direct: DirectPusher | None = None
    """The direct pusher that the twin wakes, if the twin is a waker."""


def upstream_body(twin: Twin, gateway_url: str, *, append: bool, direct: DirectPusher | None = None) -> dict[str, Any]:
    """The body that sets the twin in the original's place at the homeserver. `direct`: the pusher that it wakes."""
    mark = {MARK: twin.hidden_pushkey} if twin.is_adopted else {}
    return {
        **twin.original,
        "pushkey": twin.upstream_pushkey,
        "data": {**twin.original["data"], "url": gateway_url, ORIGINAL: _describe(twin, direct), **mark},
        "append": append,
    }


def restored_body(twin: Twin) -> dict[str, Any]:
    """The body that sets the original again. It takes nothing from other users, as its client may have wanted to."""
    body = {**twin.original, "app_id": twin.app_id, "pushkey": twin.pushkey, "append": True}
    return body if twin.is_enabled else {**body, **dict.fromkeys(ENABLED, False)}


def find(entry: Json, user_id: str) -> FoundTwin | None:
    """What an entry of this user's GET /pushers, or of a push's `devices`, tells; None: nothing of an original.

    Everybody may write such `data` into a pusher of their own, so it says nothing of whose the pusher is. A push's
    device lacks the names that people read, which are not needed to send the push on.
    """
    key, data = key_of(entry), entry.get("data")
    told = data.get(ORIGINAL) if isinstance(data, dict) else None
    if key is None or not isinstance(data, dict) or not isinstance(told, dict):
        return None
    device_id = _text(told, "device_id") or device_in(entry)
    if key[0] == WAKER_APP_ID:
        return _find_waker(entry, told, user_id, device_id)
    pushkey, url, mark = _text(told, "pushkey"), _text(told, "url"), _text(data, MARK)
    if pushkey is None or url is None:
        return None
    return FoundTwin(
        Twin(
            hidden_pushkey=mark or key[1],
            user_id=user_id,
            app_id=key[0],
            pushkey=pushkey,
            url=url,
            original={**_as_set(entry), "pushkey": pushkey, "data": {**_data(entry), "url": url}},
            is_enabled=told.get("enabled") is not False,
            device_id=device_id,
            is_adopted=mark is not None,
        )
    )


def _describe(twin: Twin, direct: DirectPusher | None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if twin.device_id is not None:
        told["device_id"] = twin.device_id
    if twin.url is not None:
        told |= {"pushkey": twin.pushkey, "url": twin.url, "enabled": twin.is_enabled}
    if direct is not None:
        told["direct"] = {**direct.original, "enabled": direct.is_enabled}
    return told


def _find_waker(entry: Json, told: Json, user_id: str, device_id: str | None) -> FoundTwin:
    hidden = entry["pushkey"]
    original = {**_as_set(entry), "data": _data(entry)}
    waker = Twin(hidden, user_id, WAKER_APP_ID, hidden, None, original, device_id=device_id)
    body = told.get("direct")
    if not isinstance(body, dict) or device_id is None:
        return FoundTwin(waker)
    try:
        return FoundTwin(waker, replace(direct_pusher(body, user_id, device_id), waker=hidden))
    except (BadPusher, KeyError):
        return FoundTwin(waker)


def _as_set(entry: Json) -> dict[str, Any]:
    names = {name: entry[name] for name in _SHOWN if isinstance(entry.get(name), str)}
    return {"kind": "http", "app_id": entry["app_id"], **names}


def _data(entry: Json) -> dict[str, Any]:
    return {name: value for name, value in entry["data"].items() if name not in ("url", MARK, ORIGINAL)}


def _text(told: Json, name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST else None
