"""Turns values of strangers into what a column can hold: text without lone surrogates, 64-bit integers, JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any

LARGEST = 2**63 - 1
"""The largest integer that a column can hold."""
_CHUNK = 500
"""Values in one statement; SQLite before 3.32 allows 999 parameters."""


def to_text(value: str) -> str:
    """`value` with "?" in place of lone surrogates, which have no UTF-8."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def to_optional_text(value: str | None) -> str | None:
    return None if value is None else to_text(value)


def to_integer(value: int) -> int:
    """`value`, or the nearest integer that fits into 64 bits."""
    # Python's integers have no bound, and sqlite3 raises OverflowError beyond SQLite's.
    return max(-LARGEST, min(LARGEST, value))


def to_json(value: Any) -> str:
    """`value` as JSON text. Raises ValueError for a type that JSON does not have, or for nesting without measure."""
    try:
        return json.dumps(value, default=_plain, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def from_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    try:
        return json.loads(text)
    # Nesting beyond Python's stack is a fault of the text as any other, and must not end a loop.
    except RecursionError as error:
        raise ValueError(str(error)) from error


def fit(values: Sequence[Any], kinds: Sequence[type | UnionType]) -> None:
    """Checks a row: raises ValueError unless each value is of its kind. SQLite's columns take values of any type."""
    for value, kind in zip(values, kinds, strict=True):
        if not isinstance(value, kind):
            raise ValueError(f"{type(value).__name__} is none of the column's types")


def among(column: str, values: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Conditions that together mean `column IN values`, each with its parameters: one statement takes only so many."""
    wanted = [to_text(value) for value in values]
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        yield f"{column} IN ({','.join('?' * len(chunk))})", chunk


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
