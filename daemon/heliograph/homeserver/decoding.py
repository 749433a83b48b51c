"""Decoding of whole answers, as opposed to those that are read part by part."""

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
    """The answer. Raises BadAnswer if it is not of this type."""
    try:
        return msgspec.json.decode(body, type=type_)
    except BROKEN:
        raise bad_answer(200, body) from None


def optional(json: Mapping[str, Any], type_: type[T], *keys: str) -> T | None:
    """The value of the first of these keys that has one of the type."""
    for key in keys:
        value = json.get(key)
        if isinstance(value, type_):
            return value
    return None


@contextmanager
def missing_is_refused() -> Iterator[None]:
    """For what not every homeserver has: a 404 without a Matrix error code is a no like one with it.

    Elsewhere it is a proxy whose homeserver is gone for the moment.
    """
    try:
        yield
    except BadAnswer as answer:
        if answer.status in (404, 405, 501):
            raise Refused(answer.status, "", str(answer)) from answer
        raise
