"""Looks up the properties of an event by dot-separated path, when a rule asks: what no rule names is not flattened.

https://spec.matrix.org/v1.17/appendices/#dot-separated-property-paths
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Any, Final

Path = tuple[str, ...]


class Missing(Enum):
    """The event has no such property. JSON null is None and something else."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

_PART = re.compile(r"\\[\\.]|[^\\.]+|\\|\.")


@lru_cache(maxsize=256)
def parse_key(key: str) -> Path:
    r"""Property names of a key. `\.` and `\\` are a dot and a backslash; any other backslash stands for itself.

    The results are cached, as thousands of rules may name the same key.
    """
    # Most keys: they need no expression.
    if "\\" not in key:
        return tuple(key.split("."))
    names = [""]
    for part in _PART.findall(key):
        if part == ".":
            names.append("")
        else:
            names[-1] += part[1] if part in ("\\.", "\\\\") else part
    return tuple(names)


def value_at(event: dict[str, Any], path: Path) -> Any:
    """The property's value, or MISSING. Only objects have properties: arrays cannot be indexed."""
    value: Any = event
    for name in path:
        if not isinstance(value, dict):
            return MISSING
        value = value.get(name, MISSING)
    return value
