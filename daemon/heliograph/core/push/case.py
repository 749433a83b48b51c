"""Reads a case from JSON, for `heliograph rules check`: an event, and the facts around it. Writes the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from heliograph.core.events import Json
from heliograph.core.push.context import FACTS, Context
from heliograph.core.push.decrypted import decrypted
from heliograph.core.push.verdict import Verdict
from heliograph.core.value_type import value_type

T = TypeVar("T")

NOBODY = ""
"""The user of a case that names none: no event is theirs, and none mentions them."""

_NAMES = {bool: "a boolean", dict: "an object", int: "an integer", list: "an array", str: "a string"}


class NotACase(Exception):
    """The JSON is no case. The message names the part that has another shape."""


@value_type
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
    facts: dict[str, Any] = {name: _part(json, name, type_) for name, type_ in FACTS.items()}
    if not all(isinstance(other, dict) for other in (facts["related"] or {}).values()):
        raise NotACase("an event in related is not an object")
    if not all(isinstance(creator, str) for creator in facts["creators"] or ()):
        raise NotACase("a creator is not a string")
    facts["creators"] = frozenset(facts["creators"] or ())
    given = {name: value for name, value in facts.items() if value is not None}
    context = Context(_part(json, "user_id", str) or NOBODY, **given)
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
