"""What strangers send, checked before it reaches the machine: JSON of bounded depth, strings of bounded length."""

from __future__ import annotations

from typing import Any

import msgspec

from heliograph.core.mending import MAX_DEPTH, cut, mend

MAX_EVENT = 256 * 1024
"""Bytes. An event has at most 64 KiB."""
MAX_ID = 255
KEY_LENGTH = 43
"""Characters of a Curve25519 or Ed25519 key, and of a Megolm session's id, in unpadded base64."""

_decode = msgspec.json.Decoder().decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Malformed(ValueError):
    """What it says why, in words that hold nothing of what was sent."""


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object, nested no deeper than MAX_DEPTH. Raises Malformed."""
    if len(raw) > MAX_EVENT:
        raise Malformed("it is too large")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        raw = cut(raw, MAX_DEPTH)
    try:
        json = _decode(raw)
    except _BROKEN:
        try:
            json = _decode(mend(raw, MAX_DEPTH))
        except _BROKEN:
            raise Malformed("it is not JSON") from None
    if not isinstance(json, dict):
        raise Malformed("it is not an object")
    return json


def text(json: dict[str, Any], name: str, most: int = MAX_ID) -> str:
    """The string of this name. Raises Malformed."""
    value = json.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise Malformed(f"{name} is not a string of 1 to {most} characters")
    return value


def key(json: dict[str, Any], name: str) -> str:
    """The public key or session id of this name. Raises Malformed."""
    value = text(json, name)
    if len(value) != KEY_LENGTH:
        raise Malformed(f"{name} is not a key")
    return value


def table(json: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of this name. Raises Malformed."""
    value = json.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object")
    return value
