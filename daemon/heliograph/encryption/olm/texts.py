"""What strangers send, checked before it reaches the machine: JSON of bounded depth, strings of bounded length."""

from __future__ import annotations

from typing import Any

import msgspec

from heliograph.core.mending import MAX_DEPTH, mend

MAX_EVENT = 96 * 1024
"""Bytes. An event has at most 64 KiB, and Olm messages hold another in base64."""
MAX_ID = 255
KEY_LENGTH = 43
"""Characters of a Curve25519 or Ed25519 key, and of a Megolm session's id, in unpadded base64."""

_decode = msgspec.json.Decoder().decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class MalformedContent(ValueError):
    """What was sent for the Olm machine is not as the specification says. The text says why, and quotes nothing."""


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object. Raises MalformedContent, also if it is nested deeper than MAX_DEPTH.

    What comes in clear is cut at that depth instead. Here that would mean to count 64 KiB of a stranger's brackets."""
    if len(raw) > MAX_EVENT:
        raise MalformedContent("it is too large")
    is_flat = raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH
    try:
        json = _decode(raw)
    except RecursionError:
        raise MalformedContent("it is nested too deep") from None
    except _BROKEN:
        json = _mended(raw) if is_flat else None
    if not isinstance(json, dict):
        raise MalformedContent("it is not a JSON object")
    if not is_flat and _is_deep(json):
        raise MalformedContent("it is nested too deep")
    return json


def _mended(raw: bytes) -> object:
    try:
        return _decode(mend(raw, MAX_DEPTH))
    except _BROKEN:
        return None


def _is_deep(json: dict[str, Any]) -> bool:
    level: list[Any] = [json]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def text(json: dict[str, Any], name: str, most: int = MAX_ID) -> str:
    """The string of this name. Raises MalformedContent."""
    value = json.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise MalformedContent(f"{name} is not a string of 1 to {most} characters")
    return value


def key(json: dict[str, Any], name: str) -> str:
    """The public key or session id of this name. Raises MalformedContent."""
    value = text(json, name)
    if len(value) != KEY_LENGTH:
        raise MalformedContent(f"{name} is not a key")
    return value


def table(json: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of this name. Raises MalformedContent."""
    value = json.get(name)
    if not isinstance(value, dict):
        raise MalformedContent(f"{name} is not an object")
    return value
