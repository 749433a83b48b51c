"""Puts a decrypted event together, as it is judged a second time, and back to what the homeserver saw of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.core.events import Json


def decrypted(event: Json, payload: Mapping[str, Any]) -> Json:
    """The encrypted event with the type and content of its decrypted payload, all else as it was sent.

    A relation inside the payload is ignored in favour of the cleartext one, also if there is none:
    https://spec.matrix.org/v1.17/client-server-api/#forming-relationships-between-events. Without it edits would ring.
    """
    content = payload.get("content")
    clear = dict(content) if isinstance(content, Mapping) else {}
    clear.pop("m.relates_to", None)
    outer = event.get("content")
    if isinstance(outer, Mapping) and "m.relates_to" in outer:
        clear["m.relates_to"] = outer["m.relates_to"]
    return {**event, "type": payload.get("type"), "content": clear}


def sealed(event: Json) -> Json:
    """What the homeserver judged of an event that `decrypted` put together: of its content only the relation."""
    content = event["content"]
    seen = {"m.relates_to": content["m.relates_to"]} if "m.relates_to" in content else {}
    return {**event, "type": "m.room.encrypted", "content": seen}
