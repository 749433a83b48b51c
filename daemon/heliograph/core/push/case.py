"""Reads a case from JSON, for `heliograph rules check`: an event, and the facts around it. Writes the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from heliograph.core.events import Json
from heliograph.core.push.context import Context
from heliograph.core.push.decrypted import decrypted
from heliograph.core.push.verdict import Verdict

T = TypeVar("T")

NOBODY = ""
"""The user of a case that names none: no event is theirs, and none mentions them."""

_NAMES = {bool: "a boolean", dict: "an object", int: "an integer", list: "an array", str: "a string"}


class NotACase(Exception):
    """The JSON is no case. The message names the part that has another shape."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that a verdict depends on besides the rules."""

    event: Json
    """As the rules see the event: with its decrypted payload, if that was given."""
    context: Context


def read_case(json: Mapping[str, Any]) -> Case:
    """Reads `event` and the optional facts around it, named as in `Context`; `clear` is the event's decrypted payload.

    null is as good as absent, and unknown names are passed over. Raises NotACase.
    """
    event = _part(json, "event", dict)
    if event is None:
        raise NotACase("there is no event")
    clear = _part(json, "clear", dict)
    related = _part(json, "related", dict) or {}
    if not all(isinstance(other, dict) for other in related.values()):
        raise NotACase("an event in related is not an object")
    creators = _part(json, "creators", list) or []
    if not all(isinstance(creator, str) for creator in creators):
        raise NotACase("a creator is not a string")
    context = Context(
        user_id=_part(json, "user_id", str) or NOBODY,
        display_name=_part(json, "display_name", str),
        member_count=_part(json, "member_count", int),
        power_levels=_part(json, "power_levels", dict),
        creators=frozenset(creators),
        room_version=_part(json, "room_version", str),
        sender_power_level=_part(json, "sender_power_level", int),
        related=related,
        thread_subscribed=_part(json, "thread_subscribed", bool),
    )
    return Case(event if clear is None else decrypted(event, clear), context)


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict with all its parts."""
    return {
        "notify": verdict.notify,
        "rule": verdict.rule,
        "actions": list(verdict.actions),
        "highlight": verdict.highlight,
        "sound": verdict.sound,
    }


def _part(json: Mapping[str, Any], name: str, type_: type[T]) -> T | None:
    value = json.get(name)
    # In Python true and false are integers, too.
    if value is None or (isinstance(value, type_) and (type_ is bool or not isinstance(value, bool))):
        return value
    raise NotACase(f"{name} is not {_NAMES[type_]}")
