"""Pushers in bodies: of POST /pushers/set from clients and to the homeserver, and of GET /pushers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from heliograph.core.events import Json
from heliograph.relay.model.pushers import (
    ACTIVE_MS,
    DELAY_MS,
    LEAST_ACTIVE_MS,
    LEAST_DELAY_MS,
    MOST_ACTIVE_MS,
    MOST_DELAY_MS,
    DirectPusher,
    Twin,
)

DIRECT_KINDS = ("direct", "org.matrix.msc3361.direct")
MAX_APP_ID = 64
MAX_PUSHKEY = 512
MAX_FALLBACK = 100
MAX_ORIGINAL = 4 * 1024
"""Bytes of a pusher as JSON. Clients send some hundred."""
_PREFIX = "org.matrix.msc3361."
_TOGGLE = "org.matrix.msc3881."
ENABLED = ("enabled", f"{_TOGGLE}enabled")
_NOT_KEPT = ("append", "enabled", f"{_TOGGLE}enabled", "device_id", f"{_TOGGLE}device_id")
WAKER_APP_ID = "io.github.heliograph.relay"


class BadPusher(Exception):
    """A sentence on what is wrong with the request, and the error code that says so."""

    def __init__(self, why: str, errcode: str = "M_INVALID_PARAM") -> None:
        super().__init__(why)
        self.errcode = errcode


def key_of(body: Json) -> tuple[str, str] | None:
    """App id and pushkey; None if they are none."""
    app_id, pushkey = body.get("app_id"), body.get("pushkey")
    return (app_id, pushkey) if isinstance(app_id, str) and isinstance(pushkey, str) else None


def enabled_in(body: Json) -> bool | None:
    """Whether the pusher is on (MSC3881); None if the body does not say."""
    for name in ENABLED:
        value = body.get(name)
        if isinstance(value, bool):
            return value
    return None


def replaces_others(body: Json) -> bool:
    """Whether setting this pusher takes its app id and pushkey from other users: `append` is false or missing."""
    return body.get("kind") is not None and not body.get("append")


def original_of(body: Json) -> dict[str, Any]:
    """The body of POST /pushers/set without `append`, `enabled` and their unstable names."""
    return {name: value for name, value in body.items() if name not in _NOT_KEPT}


def is_too_large(original: Json) -> bool:
    """Whether a pusher is larger than one that the relay keeps."""
    # The standard encoder: it takes whatever the decoder took.
    return len(json.dumps(original, separators=(",", ":"))) > MAX_ORIGINAL


def direct_pusher(body: Json, user_id: str, device_id: str) -> DirectPusher:
    """The pusher that a body of a direct kind asks for. Raises BadPusher."""
    if is_too_large(body):
        raise BadPusher(f"A direct pusher has at most {MAX_ORIGINAL} bytes", "M_TOO_LARGE")
    for name in ("app_id", "pushkey", "app_display_name", "device_display_name", "lang"):
        value = body.get(name)
        if value is None:
            raise BadPusher(f"{name} is missing", "M_MISSING_PARAM")
        if not isinstance(value, str):
            raise BadPusher(f"{name} is a string")
    app_id, pushkey = body["app_id"], body["pushkey"]
    if not app_id or len(app_id) > MAX_APP_ID:
        raise BadPusher(f"app_id has 1 to {MAX_APP_ID} characters")
    if not pushkey or len(pushkey.encode(errors="surrogatepass")) > MAX_PUSHKEY:
        raise BadPusher(f"pushkey has 1 to {MAX_PUSHKEY} bytes")
    data = body.get("data", {})
    if not isinstance(data, dict):
        raise BadPusher("data is an object")
    return DirectPusher(
        user_id=user_id,
        device_id=device_id,
        app_id=app_id,
        pushkey=pushkey,
        kind=body["kind"],
        is_enabled=enabled_in(body) is not False,
        delay_ms=_ms(data, "delay_ms", DELAY_MS, LEAST_DELAY_MS, MOST_DELAY_MS),
        active_ms=_ms(data, "active_ms", ACTIVE_MS, LEAST_ACTIVE_MS, MOST_ACTIVE_MS),
        fallback=_fallback(data),
        original=original_of(body),
    )


def gateway_url_in(body: Json) -> str | None:
    data = body.get("data")
    url = data.get("url") if isinstance(data, dict) else None
    return url if isinstance(url, str) else None


def waker_original(device_name: str, *, is_brief: bool) -> dict[str, Any]:
    """The pusher that tells the relay of everything that rings for a user."""
    return {
        "kind": "http",
        "app_id": WAKER_APP_ID,
        "app_display_name": "Heliograph relay",
        "device_display_name": device_name,
        "lang": "en",
        "data": {"format": "event_id_only"} if is_brief else {},
    }


def removal(app_id: str, pushkey: str) -> dict[str, Any]:
    return {"app_id": app_id, "pushkey": pushkey, "kind": None}


def shown_twin(listed: Json, twin: Twin) -> dict[str, Any]:
    """The homeserver's entry, as it would be if the original stood there."""
    shown = {**listed, "pushkey": twin.pushkey, "data": twin.original["data"]}
    return shown | _toggle(twin.is_enabled, twin.device_id or device_in(listed))


def shown_direct(pusher: DirectPusher) -> dict[str, Any]:
    return {**pusher.original, **_toggle(pusher.is_enabled, pusher.device_id)}


def device_in(listed: Json) -> str | None:
    """Who registered an entry of GET /pushers, where the homeserver tells."""
    for name in (f"{_TOGGLE}device_id", "device_id"):
        value = listed.get(name)
        if isinstance(value, str):
            return value
    return None


def as_set(listed: Json) -> dict[str, Any]:
    """An entry of GET /pushers as it would have been set."""
    return {name: value for name, value in original_of(listed).items() if value is not None}


def _toggle(is_enabled: bool, device_id: str | None) -> dict[str, Any]:
    # Under both names: MSC3881 has no stable one yet, and some clients read it already.
    shown: dict[str, Any] = {"enabled": is_enabled, f"{_TOGGLE}enabled": is_enabled}
    if device_id is not None:
        shown |= {"device_id": device_id, f"{_TOGGLE}device_id": device_id}
    return shown


def _ms(data: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = data.get(_PREFIX + name, default)
    # `value != value`: NaN, which no bounds hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise BadPusher(f"{_PREFIX}{name} is a number of milliseconds")
    return int(max(least, min(value, most)))


def _fallback(data: Mapping[str, Any]) -> frozenset[tuple[str, str]] | None:
    value = data.get(f"{_PREFIX}fallback")
    if value is None:
        return None
    wrong = BadPusher(f"{_PREFIX}fallback is a list of objects with app_id and pushkey")
    if not isinstance(value, list) or len(value) > MAX_FALLBACK:
        raise wrong
    pairs = [
        key_of(each) if isinstance(each, dict) else tuple(each) if isinstance(each, list) else None for each in value
    ]
    if any(pair is None or len(pair) != 2 or not all(isinstance(part, str) for part in pair) for pair in pairs):
        raise wrong
    return frozenset((pair[0], pair[1]) for pair in pairs if pair is not None)
