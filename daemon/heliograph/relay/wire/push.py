"""The body of POST /_matrix/push/v1/notify: taken apart as it comes from the homeserver, put together as it goes on.

Source: Push Gateway API. A body is kept as it came, down to properties nobody knows; only the device in it is put back
to what the client had registered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from heliograph.core.events import Json
from heliograph.core.pushers.relayed import ORIGINAL
from heliograph.core.reading import thread_of
from heliograph.core.value_type import value_type
from heliograph.relay.model.pushers import MARK, Twin
from heliograph.relay.wire.context import relation_of, root_and_parent

MOST_DEVICES = 100
LONGEST_ID = 1024
_OF_DEVICE = ("pushkey_ts", "tweaks")
_BRIEF = ("event_id", "room_id", "counts", "prio")
"""What `format: event_id_only` leaves of a push."""


class MalformedPush(ValueError):
    """The body is not that of a push; the text says why."""


@value_type
class Arrived:
    """One POST of a homeserver."""

    notification: Json
    """Without `devices`."""
    devices: tuple[Json, ...]
    """Each with a `pushkey` that is text."""
    event_id: str | None
    """The event's id; None: this is a clearing push."""
    room_id: str
    thread_id: str | None
    unread: int | None
    """The number of unread messages; None: not told. In a clearing push a missing count is 0, by the specification."""


def read_push(body: bytes) -> Arrived:
    """Reads the body of a push. Raises MalformedPush."""
    try:
        # The standard decoder: it takes lone surrogates, as homeservers pass them on, and integers of any size.
        parsed = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedPush("the body is not JSON") from error
    notification = parsed.get("notification") if isinstance(parsed, dict) else None
    devices = notification.get("devices") if isinstance(notification, dict) else None
    if not isinstance(notification, dict) or not isinstance(devices, list):
        raise MalformedPush("there is no notification with devices")
    if len(devices) > MOST_DEVICES:
        raise MalformedPush("there are too many devices")
    if not all(isinstance(device, dict) and _is_id(device.get("pushkey")) for device in devices):
        raise MalformedPush("a device has no pushkey")
    event_id = notification.get("event_id") or None
    room_id = notification.get("room_id") or ""
    if (event_id is not None and not _is_id(event_id)) or (room_id and not _is_id(room_id)):
        raise MalformedPush("event_id and room_id are no identifiers")
    return Arrived(
        notification={name: value for name, value in notification.items() if name != "devices"},
        devices=tuple(devices),
        event_id=event_id,
        room_id=room_id,
        thread_id=_thread(notification),
        unread=_unread(notification, is_clearing=event_id is None),
    )


def pack(notification: Json, device: Json) -> str:
    """The part of a push for one device that is kept, as JSON. The rest of the device is the twin's."""
    kept = {name: device[name] for name in _OF_DEVICE if name in device}
    return json.dumps({"notification": notification, "device": kept}, separators=(",", ":"))


def restore(packed: str, twin: Twin, *, is_brief: bool) -> bytes:
    """The body for the real gateway. `is_brief`: nothing but the event's id, for a gateway that finds it too large."""
    kept = json.loads(packed)
    notification = kept["notification"]
    data = twin.original.get("data")
    device: dict[str, Any] = {"app_id": twin.app_id, "pushkey": twin.pushkey, **kept["device"]}
    # The URL and the relay's own properties are between client, relay and homeserver: gateways get none of them.
    device["data"] = {
        key: value
        for key, value in (data if isinstance(data, Mapping) else {}).items()
        if key not in ("url", MARK, ORIGINAL)
    }
    if is_brief:
        notification = {name: notification[name] for name in _BRIEF if name in notification}
        device.pop("tweaks", None)
    return json.dumps({"notification": {**notification, "devices": [device]}}, separators=(",", ":")).encode()


def _is_id(value: Any) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unread(notification: Json, *, is_clearing: bool) -> int | None:
    counts = notification.get("counts")
    unread = counts.get("unread") if isinstance(counts, dict) else None
    if isinstance(unread, int) and not isinstance(unread, bool):
        # Bounded to what SQLite stores: JSON may hold integers of any size.
        return max(0, min(unread, 2**31))
    return 0 if is_clearing else None


def _thread(notification: Json) -> str | None:
    """The root of its thread, or MAIN; None where the push does not tell, as without content."""
    content = notification.get("content")
    if not isinstance(content, dict):
        return None
    root, parent = root_and_parent(relation_of(content))
    return thread_of(root if _is_id(root) else None, parent, {})


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
