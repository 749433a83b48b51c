"""Writes canonical JSON, the form in which objects are signed and commitments made."""

from __future__ import annotations

import json

from heliograph.core.events import Json


def canonical_json(value: Json) -> bytes:
    """The value as canonical JSON (https://spec.matrix.org/v1.18/appendices/#canonical-json). Raises ValueError for
    what has no such form, like 0.5."""
    try:
        _check(value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
        return text.encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def without_signatures(signed: Json) -> Json:
    """The part of a signed object that its signatures cover."""
    return {key: value for key, value in signed.items() if key not in ("signatures", "unsigned")}


def _check(value: object) -> None:
    # Canonical JSON has integers only: implementations write fractions differently, and signatures would not fit.
    if isinstance(value, float):
        raise ValueError("canonical JSON has no fractions")
    if isinstance(value, dict):
        for each in value.values():
            _check(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check(each)
