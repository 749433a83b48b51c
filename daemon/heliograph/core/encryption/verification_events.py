"""The events of a comparison of emoji between two devices: how they are read, and the words for their codes.

https://spec.matrix.org/v1.18/client-server-api/#key-verification-framework
"""

from __future__ import annotations

from heliograph.core.events import Json
from heliograph.core.value_type import value_type

PREFIX = "m.key.verification."
METHOD = "m.sas.v1"
TIMEOUT_MS = 10 * 60_000
"""The longest time from the request to the end, and the oldest that a request may be."""
MOST_AHEAD_MS = 5 * 60_000
"""How far in the future a request may seem to be made, since clocks of devices differ."""
MOST_TEXTS = 100
"""Elements of an array that are looked at."""

_MAX_TEXT = 255

REASONS = {
    "m.user": "The user cancelled it",
    "m.timeout": "It took too long",
    "m.unknown_method": "The other device knows no way that both know",
    "m.unexpected_message": "The other device said something out of turn",
    "m.key_mismatch": "The keys are not those of the other device",
    "m.invalid_message": "The other device said something malformed",
    "m.accepted": "Another device took it",
    "m.mismatched_commitment": "The other device changed its key",
    "m.mismatched_sas": "The emoji were not the same",
    "m.user_mismatch": "The other device is another user's",
    "m.unknown_transaction": "The other device has forgotten about it",
}
"""Words for the codes of https://spec.matrix.org/v1.18/client-server-api/#mkeyverificationcancel."""


@value_type
class Message:
    """A to-device event to send to some of the user's devices, by their ids."""

    type: str
    content: Json
    devices: tuple[str, ...]


@value_type
class Request:
    """The `m.key.verification.request` of another device."""

    transaction_id: str
    from_device: str


def read_request(content: Json, now_ms: int) -> Request | None:
    """Reads a request; None: it is malformed, too old or too new, or has no method that we know."""
    transaction_id, device_id = text_in(content, "transaction_id"), text_in(content, "from_device")
    timestamp = content.get("timestamp")
    if transaction_id is None or device_id is None or not isinstance(timestamp, int):
        return None
    # To-device events wait at the homeserver until we sync: a request may be long over.
    is_timely = -MOST_AHEAD_MS <= now_ms - timestamp <= TIMEOUT_MS
    return Request(transaction_id, device_id) if is_timely and METHOD in texts_in(content, "methods") else None


def transaction_of(content: Json) -> str | None:
    """The id of the verification to which an event belongs; None: there is none."""
    return text_in(content, "transaction_id")


def text_in(content: Json, key: str) -> str | None:
    """The short text under this key; None if there is something else."""
    value = content.get(key)
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable() else None


def texts_in(content: Json, key: str) -> list[str]:
    """The texts in the array under this key."""
    values = content.get(key)
    return [value for value in values[:MOST_TEXTS] if isinstance(value, str)] if isinstance(values, list) else []


def ways_in(content: Json) -> list[str]:
    """The ways of comparing that the other device offers, of those that we know."""
    offered = texts_in(content, "short_authentication_string")
    return [way for way in ("decimal", "emoji") if way in offered]
