"""The kinds of condition in the specification, with one function each that reads such a condition.

https://spec.matrix.org/v1.17/client-server-api/#conditions-1
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from heliograph.core.push.condition import Condition, Misshapen, Test, known, property_path_of, string_of
from heliograph.core.push.context import Fact
from heliograph.core.push.flatten import MISSING, parse_key
from heliograph.core.push.levels import level_to_notify
from heliograph.core.push.patterns import MAX_PATTERN, Glob, Phrase, collapse, is_glob, is_word, phrase_of
from heliograph.core.push.subject import BODY, Subject

_BODY_PATH = parse_key(BODY)
# The largest integer of Canonical JSON (specification, appendices).
_MAX_INTEGER = 2**53 - 1
_TOO_LONG = f"a pattern has more than {MAX_PATTERN} characters"


def event_match(key: str, pattern: str, json: Mapping[str, Any]) -> Condition:
    """The property is a string that the pattern matches: in whole, or for `content.body` between word boundaries.

    Raises Misshapen for a pattern that is too long to search for.
    """
    path = parse_key(key)
    holds = _occurs_in_body(pattern) if key == BODY else _covers(key, pattern)
    return Condition("event_match", json, holds, lambda subject: subject.value(key, path))


def property_is(key: str, value: Any, json: Mapping[str, Any]) -> Condition:
    """The property is this very value: no casts, no case folding."""
    path = parse_key(key)
    type_ = type(value)

    def holds(subject: Subject) -> bool:
        seen = subject.value(key, path)
        return type(seen) is type_ and bool(seen == value)

    return Condition("event_property_is", json, holds, lambda subject: subject.value(key, path))


def property_contains(key: str, value: Any, json: Mapping[str, Any]) -> Condition:
    """The property is an array that has this very value as an element."""
    path = parse_key(key)
    type_ = type(value)

    def holds(subject: Subject) -> bool:
        seen = subject.value(key, path)
        if not isinstance(seen, list) or not subject.work.spend(6 * len(seen)):
            return False
        # In Python 1 == True == 1.0, so finding an equal value is not enough.
        if value not in seen or not subject.work.spend(14 * len(seen)):
            return False
        return any(type(element) is type_ and element == value for element in seen)

    return Condition("event_property_contains", json, holds, lambda subject: subject.value(key, path))


def has_no_mentions(json: Mapping[str, Any]) -> Condition:
    """The event has no `m.mentions`, not even an empty object.

    Rules older than MSC3952 have this condition besides their own: an event with `m.mentions` says whom it means.
    """
    key, path = r"content.m\.mentions", ("content", "m.mentions")
    return Condition(
        "no m.mentions",
        json,
        lambda subject: subject.value(key, path) is MISSING,
        lambda subject: subject.value(key, path),
    )


def _occurs_in_body(pattern: str) -> Test:
    literal = pattern.lower()
    if is_glob(pattern):
        glob = _glob(pattern)

        def glob_occurs(subject: Subject) -> bool:
            text = subject.folded(BODY, _BODY_PATH)
            return text is not None and glob.occurs_in(text, subject.work)

        return glob_occurs
    # A single word is looked up in the body's set of words, however long it is, and costs no search.
    if is_word(literal):
        word = literal.encode()
        return lambda subject: word in subject.words
    if len(literal) > MAX_PATTERN:
        raise Misshapen(_TOO_LONG)
    return _phrase_occurs(Phrase(literal))


def _phrase_occurs(phrase: Phrase) -> Test:
    word = phrase.word

    def holds(subject: Subject) -> bool:
        # Looking up a word first keeps thousands of phrases cheap on a long text.
        if word is not None and word not in subject.words:
            return False
        text = subject.lowered(BODY, _BODY_PATH)
        return text is not None and phrase.occurs_in(text, subject.work)

    return holds


def _covers(key: str, pattern: str) -> Test:
    path = parse_key(key)
    if is_glob(pattern):
        glob = _glob(pattern)

        def glob_covers(subject: Subject) -> bool:
            text = subject.folded(key, path)
            return text is not None and glob.covers(text, subject.work)

        return glob_covers
    literal = pattern.lower()
    return lambda subject: subject.lowered(key, path) == literal


def _glob(pattern: str) -> Glob:
    if len(collapse(pattern)) > MAX_PATTERN:
        raise Misshapen(_TOO_LONG)
    return Glob(pattern)


def _scalar(json: Mapping[str, Any]) -> Any:
    value = json.get("value", MISSING)
    is_integer = isinstance(value, int) and -_MAX_INTEGER <= value <= _MAX_INTEGER
    if value is None or isinstance(value, (str, bool)) or is_integer:
        return value
    raise Misshapen(f"{json['kind']} has no value that is a string, an integer, a boolean or null")


def _event_match(json: Mapping[str, Any]) -> Condition:
    return event_match(property_path_of(json), string_of(json, "pattern"), json)


def _event_property_is(json: Mapping[str, Any]) -> Condition:
    return property_is(property_path_of(json), _scalar(json), json)


def _event_property_contains(json: Mapping[str, Any]) -> Condition:
    return property_contains(property_path_of(json), _scalar(json), json)


def _contains_display_name(json: Mapping[str, Any]) -> Condition:
    def holds(subject: Subject) -> bool:
        # One answer for all rules that ask.
        if subject.says_name is None:
            name = subject.context.display_name
            is_sought = bool(name) and len(name or "") <= MAX_PATTERN and subject.work.left >= 0
            subject.says_name = is_sought and _phrase_occurs(phrase_of(name or ""))(subject)
        return subject.says_name

    return Condition(
        "contains_display_name",
        json,
        holds,
        lambda subject: subject.value(BODY, _BODY_PATH),
        frozenset({Fact.DISPLAY_NAME}),
    )


_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = MappingProxyType(
    {"": operator.eq, "==": operator.eq, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
)
_COUNT = re.compile(r"(==|<=|>=|<|>)?0*([0-9]{1,20})")


def _room_member_count(json: Mapping[str, Any]) -> Condition:
    match = _COUNT.fullmatch(string_of(json, "is"))
    # Synapse reads the count as an unsigned integer of 64 bits, and no larger one ever matches there.
    if match is None or int(match.group(2)) >= 2**64:
        raise Misshapen("room_member_count has no number of members")
    compare, limit = _COMPARISONS[match.group(1) or ""], int(match.group(2))

    def holds(subject: Subject) -> bool:
        count = subject.context.member_count
        return count is not None and compare(count, limit)

    return Condition(
        "room_member_count",
        json,
        holds,
        lambda subject: known(subject.context.member_count),
        frozenset({Fact.MEMBER_COUNT}),
    )


def _sender_notification_permission(json: Mapping[str, Any]) -> Condition:
    key = string_of(json, "key")

    def holds(subject: Subject) -> bool:
        level = subject.sender_level
        if level is None or not subject.work.spend(300):
            return False
        return level >= level_to_notify(key, subject.context)

    return Condition(
        "sender_notification_permission",
        json,
        holds,
        lambda subject: known(subject.sender_level),
        frozenset({Fact.POWER_LEVELS}),
    )


KINDS: Mapping[str, Callable[[Mapping[str, Any]], Condition]] = MappingProxyType(
    {
        "event_match": _event_match,
        "event_property_is": _event_property_is,
        "event_property_contains": _event_property_contains,
        "contains_display_name": _contains_display_name,
        "room_member_count": _room_member_count,
        "sender_notification_permission": _sender_notification_permission,
    }
)
"""What reads a condition, by its kind. Each raises Misshapen."""
