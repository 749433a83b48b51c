"""What all conditions of push rules have in common, whatever their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from heliograph.core.push.context import Fact
from heliograph.core.push.flatten import MISSING
from heliograph.core.push.patterns import MAX_PATTERN
from heliograph.core.push.subject import Subject

Test = Callable[[Subject], bool]


class Misshapen(Exception):
    """A rule or condition lacks what its kind requires. The message says what."""


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One condition, ready to be asked about an event."""

    kind: str
    json: Mapping[str, Any]
    """The condition as the homeserver gives it."""
    holds: Test
    seen: Callable[[Subject], Any]
    """The value that `holds` looks at, MISSING if there is none; to explain a verdict."""
    needs: frozenset[Fact] = frozenset()
    can_hold: bool = True
    """False if its kind is unknown or its shape wrong: then it never holds."""


def never(json: Mapping[str, Any]) -> Condition:
    """The condition that holds for no event."""
    kind = json.get("kind")
    return Condition(kind if isinstance(kind, str) else "", json, lambda _: False, lambda _: MISSING, can_hold=False)


def string_of(json: Mapping[str, Any], name: str) -> str:
    """The string parameter of a condition. Raises Misshapen."""
    value = json.get(name)
    if not isinstance(value, str):
        raise Misshapen(f"{json['kind']} has no string {name}")
    return value


def property_path_of(json: Mapping[str, Any]) -> str:
    """The parameter `key` where it is a property path. Raises Misshapen."""
    key = string_of(json, "key")
    if len(key) > MAX_PATTERN:
        raise Misshapen(f"a key has more than {MAX_PATTERN} characters")
    return key


def known(value: Any) -> Any:
    """A fact as a condition sees it: MISSING where the context does not have it."""
    return MISSING if value is None else value
