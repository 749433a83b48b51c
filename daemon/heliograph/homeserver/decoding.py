"""Decodes whole answers. Those that are read part by part are the matter of `parts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from heliograph.errors import BadAnswer, Refused
from heliograph.homeserver.answer import bad_answer
from heliograph.homeserver.event import BROKEN

T = TypeVar("T")


def decode_as(type_: type[T], body: bytes) -> T:
    """The answer as a value of this type. Raises BadAnswer if it is of another shape."""
    try:
        return msgspec.json.decode(body, type=type_)
    except BROKEN:
        raise bad_answer(200, body) from None


def optional(json: Mapping[str, Any], type_: type[T], *keys: str) -> T | None:
    """The value of the first of these keys whose value is of this type; None: there is no such key."""
    for key in keys:
        value = json.get(key)
        if isinstance(value, type_):
            return value
    return None


def one_word(answer: object, key: str, limit: int) -> str | None:
    """The value of this key if it is a printable text without spaces, as ids and tokens are; else None."""
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        return None
    return value if value.isprintable() and " " not in value else None


@contextmanager
def missing_is_refused() -> Iterator[None]:
    """Turns a 404 without a Matrix error code into Refused. For endpoints that not every homeserver has.

    Of an endpoint that every homeserver has, such a 404 means a proxy whose homeserver is away for the moment.
    """
    try:
        yield
    except BadAnswer as answer:
        if answer.status in (404, 405, 501):
            raise Refused(answer.status, "", str(answer)) from answer
        raise
