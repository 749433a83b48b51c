"""What all conditions of push rules have in common, whatever their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from heliograph.core.push.context import Context
from heliograph.core.push.flatten import MISSING
from heliograph.core.push.patterns import MAX_PATTERN
from heliograph.core.push.phrases import Names, compact
from heliograph.core.push.subject import Subject
from heliograph.core.value_type import value_type

Test = Callable[[Subject], bool]


class Misshapen(Exception):
    """A rule or condition lacks what its kind requires. The message says what."""


def _word_value(json: Mapping[str, Any], saw: str | None, context: Context) -> str:
    return f"it is {saw}" if saw is not None else "there is none"


@value_type
class ConditionWords:
    """How the conditions of one kind are worded. Both functions take the condition as JSON first."""

    asks: Callable[[Mapping[str, Any], Names], str]
    """What the condition asks, as a clause: "it is a message"."""
    found: Callable[[Mapping[str, Any], str | None, Context], str] = _word_value
    """Why it did not hold: "it is 3". Takes the value that it saw, in words; None: there was none."""


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One condition, ready to be asked about an event."""

    kind: str
    json: Mapping[str, Any]
    """The condition as the homeserver gives it."""
    holds: Test
    seen: Callable[[Subject], Any]
    """The value that `holds` looks at, MISSING if there is none; to explain a verdict."""
    words: ConditionWords
    event_types: frozenset[str] = frozenset()
    """The event types that it names literally: it holds for no others. Empty if it names none."""
    is_about_messages: bool = False
    """True if it looks at what in practice only messages have: a body or a msgtype."""
    can_hold: bool = True
    """False if its kind is unknown or its shape wrong: then it never holds."""

    def word(self, names: Names) -> str:
        """What the condition asks, as a clause."""
        return self.words.asks(self.json, names)

    def word_seen(self, saw: str | None, context: Context) -> str:
        """Why the condition did not hold. `saw` is the value that it saw, in words; None: there was none."""
        return self.words.found(self.json, saw, context)


_NEVER = ConditionWords(
    lambda json, _: f"a condition holds that never does ({compact(json)})",
    lambda *_: "it is not one that Heliograph knows",
)


def never(json: Mapping[str, Any]) -> Condition:
    """The condition that holds for no event."""
    kind = json.get("kind")
    kind = kind if isinstance(kind, str) else ""
    return Condition(kind, json, lambda _: False, lambda _: MISSING, _NEVER, can_hold=False)


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
