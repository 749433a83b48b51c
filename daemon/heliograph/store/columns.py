"""What a column can hold: text without lone surrogates, 64-bit integers, JSON. Strangers send the rest too."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any

LARGEST = 2**63 - 1
"""The largest integer that a column holds."""
_CHUNK = 500
"""Values named in one statement; SQLite before 3.32 allows 999 parameters."""


def to_text(value: str) -> str:
    """`value`, with "?" for what UTF-8 cannot say."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def to_optional_text(value: str | None) -> str | None:
    return None if value is None else to_text(value)


def to_integer(value: int) -> int:
    """`value`, or the nearest that fits 64 bits."""
    return max(-LARGEST, min(LARGEST, value))


def to_json(value: Any) -> str:
    """Raises ValueError for what JSON cannot say, or not without nesting out of measure."""
    try:
        return json.dumps(value, default=_plain, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def from_json(text: str) -> Any:
    """Raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def fit(values: Sequence[Any], kinds: Sequence[type | UnionType]) -> None:
    """Raises ValueError if one of these values is not of its kind: SQLite's columns take every type."""
    for value, kind in zip(values, kinds, strict=True):
        if not isinstance(value, kind):
            raise ValueError(f"{type(value).__name__} is none of the column's types")


def among(column: str, values: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Conditions that together say `column IN values`, each with its parameters."""
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
