"""Numbers and tokens as the specification bounds them ("Canonical JSON"), and we do."""

from __future__ import annotations

from typing import TypeGuard

MAX_INTEGER = 2**53 - 1
MAX_TOKEN = 4096
"""Characters of a pagination token, which goes into URLs. Homeservers' own have around a hundred."""


def is_integer(value: object) -> TypeGuard[int]:
    """JSON's true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)
