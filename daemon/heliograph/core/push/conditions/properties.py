"""The kinds of condition that look at what the event itself says.

https://spec.matrix.org/v1.17/client-server-api/#conditions-1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from heliograph.core.push.condition import Condition, ConditionWords, Misshapen, Test, property_path_of, string_of
from heliograph.core.push.flatten import MISSING, parse_key
from heliograph.core.push.patterns import MAX_PATTERN, Glob, Phrase, collapse, is_glob, is_word
from heliograph.core.push.phrases import Names, compact, plain, quoted
from heliograph.core.push.subject import BODY, Subject

_BODY_PATH = parse_key(BODY)
# The largest integer of Canonical JSON (specification, appendices).
_MAX_INTEGER = 2**53 - 1
_TOO_LONG = f"a pattern has more than {MAX_PATTERN} characters"
_MESSAGE_KEYS = frozenset({BODY, "content.msgtype"})
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "m.room.message": "it is a message",
        "m.room.encrypted": "it is encrypted",
        "m.room.member": "it is about a member",
        "m.room.tombstone": "the room is replaced by another",
        "m.room.server_acl": "it says which servers may take part",
        "m.reaction": "it is a reaction",
        "m.call.invite": "it is a call",
        "m.sticker": "it is a sticker",
        "m.poll.start": "it is a poll",
        "org.matrix.msc3381.poll.start": "it is a poll",
    }
)


def word_match(json: Mapping[str, Any], names: Names) -> str:
    """The clause of an `event_match`."""
    key, pattern = json["key"], json["pattern"]
    is_literal = not is_glob(pattern)
    match key:
        case "type" if is_literal:
            return _TYPES.get(pattern.lower(), f"its type is {plain(pattern)}")
        case "content.body":
            return f"it says {quoted(pattern)}" if is_literal else f"it says something like {quoted(pattern)}"
        case "content.msgtype" if pattern == "m.notice":
            return "it is a notice, as bots send"
        case "room_id" | "sender" if is_literal:
            return _whose(key, pattern, names)
        case "state_key" if is_literal and pattern == names.me != "":
            return "it is about you"
    return f"{plain(key)} is {'' if is_literal else 'like '}{quoted(pattern)}"


def _word_is(json: Mapping[str, Any], names: Names) -> str:
    match json["key"], json["value"]:
        case ("room_id" | "sender") as key, str(value):
            return _whose(key, value, names)
        case r"content.m\.mentions.room", True:
            return "it mentions the whole room"
        case r"content.m\.relates_to.rel_type", "m.replace":
            return "it is an edit"
    return f"{plain(json['key'])} is {compact(json['value'])}"


def _word_contains(json: Mapping[str, Any], names: Names) -> str:
    key, value = json["key"], json["value"]
    if key == r"content.m\.mentions.user_ids" and isinstance(value, str):
        return f"it mentions {names.user(value)}"
    return f"{plain(key)} contains {compact(value)}"


def _whose(key: str, value: str, names: Names) -> str:
    return f"it is in {names.room(value)}" if key == "room_id" else f"it is from {names.user(value)}"


_MATCH, _IS, _CONTAINS = ConditionWords(word_match), ConditionWords(_word_is), ConditionWords(_word_contains)
_NO_MENTIONS = ConditionWords(
    lambda *_: "it comes from an old client, which marks no mentions",
    lambda _, saw, __: f"it says whom it mentions: {saw}",
)


def event_match(key: str, pattern: str, json: Mapping[str, Any]) -> Condition:
    """The property is a string that the pattern matches: in whole, or for `content.body` between word boundaries.

    Raises Misshapen for a pattern that is too long to search for.
    """
    path = parse_key(key)
    # Of this very key only: `content.formatted_body`, for example, has to match in whole.
    holds = _occurs_in_body(pattern) if key == BODY else _covers(key, pattern)
    # Patterns match in any case, but the filter of /sync does not.
    types = {pattern, pattern.lower()} if key == "type" and not is_glob(pattern) else ()
    return Condition(
        "event_match",
        json,
        holds,
        lambda subject: subject.value(key, path),
        _MATCH,
        event_types=frozenset(types),
        is_about_messages=key in _MESSAGE_KEYS,
    )


def property_is(key: str, value: Any, json: Mapping[str, Any]) -> Condition:
    """The property is this very value: no casts, no case folding."""
    path = parse_key(key)
    type_ = type(value)

    def holds(subject: Subject) -> bool:
        seen = subject.value(key, path)
        # In Python 1 == True == 1.0, so an equal value alone would not do.
        return type(seen) is type_ and bool(seen == value)

    return Condition(
        "event_property_is",
        json,
        holds,
        lambda subject: subject.value(key, path),
        _IS,
        event_types=frozenset({value} if key == "type" and isinstance(value, str) else ()),
        is_about_messages=key in _MESSAGE_KEYS,
    )


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

    return Condition("event_property_contains", json, holds, lambda subject: subject.value(key, path), _CONTAINS)


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
        _NO_MENTIONS,
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
    return phrase_occurs(Phrase(literal))


def phrase_occurs(phrase: Phrase) -> Test:
    """A test that holds if the phrase stands in the body, between word boundaries."""
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
    # A missing value is not null: such a condition never holds.
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


KINDS: Mapping[str, Callable[[Mapping[str, Any]], Condition]] = MappingProxyType(
    {
        "event_match": _event_match,
        "event_property_is": _event_property_is,
        "event_property_contains": _event_property_contains,
    }
)
"""What reads a condition, by its kind. Each raises Misshapen."""
