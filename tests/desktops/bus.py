"""What went over the bus between Heliograph and the notification server, in a line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

_SHOWN = ("urgency", "category", "sound-name", "sound-file", "suppress-sound", "transient")
_TEXT = 90
_NOTIFY = "susssasa{sv}i"


def tell(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """busctl(1)'s messages as lines; what is neither a call nor a signal of notifications is passed over.

    GNOME Shell hands each on from one of its programs to the other, which is the same line again.
    """
    lines: list[str] = []
    for message in messages:
        data = message.get("payload", {}).get("data", [])
        match message.get("type"), message.get("member"):
            case "method_call", "Notify" if message["payload"].get("type") == _NOTIFY:
                lines.append(_tell_notify(data))
            case "method_call" | "signal", "CloseNotification" | "NotificationClosed" | "ActionInvoked" as member:
                lines.append(f"{member} {' '.join(map(str, data))}")
    return [line for line, _ in groupby(lines)]


def _tell_notify(data: list[Any]) -> str:
    _, replaces, _, title, body, actions, hints, _ = data
    told = [f"{name}={hints[name]['data']}" for name in _SHOWN if name in hints]
    told += ["picture"] if "image-data" in hints else []
    return f"Notify replaces {replaces}: {title!r} {body[:_TEXT]!r} [{', '.join(actions[1::2])}] {' '.join(told)}"
