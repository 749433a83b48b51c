"""Limits of numbers ("Canonical JSON" in the specification's appendices) and of tokens."""

from __future__ import annotations

from typing import TypeGuard

MAX_INTEGER = 2**53 - 1
MAX_TOKEN = 4096
"""Characters of a pagination token. It goes into URLs; those of real homeservers have around a hundred."""


def is_integer(value: object) -> TypeGuard[int]:
    """True for an integer of JSON. Python would take true and false for integers as well."""
    return isinstance(value, int) and not isinstance(value, bool)
