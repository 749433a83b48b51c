"""Identifiers and numbers as the specification bounds them ("Common identifier format", "Canonical JSON")."""

from __future__ import annotations

from typing import TypeGuard

MAX_ID = 255
"""Bytes by the specification; characters here, since old rooms hold longer ones."""
MAX_INTEGER = 2**53 - 1
MAX_TOKEN = 4096
"""Characters of a pagination token, which goes into URLs. Homeservers' own have around a hundred."""


def is_event_id(value: object) -> TypeGuard[str]:
    return _is_id(value, "$")


def is_room_id(value: object) -> TypeGuard[str]:
    """Since room version 12 there is no server's name in it."""
    return _is_id(value, "!")


def is_user_id(value: object) -> TypeGuard[str]:
    return _is_id(value, "@") and ":" in value


def is_integer(value: object) -> TypeGuard[int]:
    """JSON's true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: object, sigil: str) -> TypeGuard[str]:
    return isinstance(value, str) and value[:1] == sigil and 1 < len(value) <= MAX_ID and "\0" not in value
