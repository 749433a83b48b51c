"""The kinds of condition that are only proposed, under their unstable names: some homeservers offer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from heliograph.core.push.condition import (
    Condition,
    ConditionWords,
    Misshapen,
    Test,
    known,
    property_path_of,
    string_of,
)
from heliograph.core.push.conditions.properties import event_match, word_match
from heliograph.core.push.flatten import MISSING, parse_key
from heliograph.core.push.phrases import Names, plain, quoted
from heliograph.core.push.subject import Subject

_LOOK = 100
"""Units of work that a condition costs which looks at several properties."""

# MSC3931: features of room versions. Only this experimental version has one.
_FEATURES: Mapping[str, frozenset[str]] = MappingProxyType(
    {"org.matrix.msc1767.10": frozenset({"org.matrix.msc3932.extensible_events"})}
)


def _room_version_supports(json: Mapping[str, Any]) -> Condition:
    feature = string_of(json, "feature")
    return Condition(
        json["kind"],
        json,
        lambda subject: feature in _FEATURES.get(subject.context.room_version or "", ()),
        lambda subject: known(subject.context.room_version),
        ConditionWords(
            lambda json, _: f"the room's version has {quoted(json['feature'])}",
            lambda _, saw, __: f"the version is {saw or 'not known'}",
        ),
    )


_RELATES_TO = (r"content.m\.relates_to", ("content", "m.relates_to"))


SUBSCRIPTION = "io.element.msc4306.thread_subscription"
"""The kind of the conditions that ask whether the user follows the event's thread."""


def _thread_subscription(json: Mapping[str, Any]) -> Condition:
    """MSC4306. Outside threads it never holds."""
    subscribed = json.get("subscribed")
    if not isinstance(subscribed, bool):
        raise Misshapen(f"{json['kind']} has no boolean subscribed")

    def holds(subject: Subject) -> bool:
        is_so = subject.context.thread_subscribed is subscribed and subject.work.spend(_LOOK)
        return is_so and _relation(subject).get("rel_type") == "m.thread"

    return Condition(
        json["kind"],
        json,
        holds,
        lambda subject: known(subject.context.thread_subscribed),
        ConditionWords(
            lambda json, _: f"it is in a thread that you {'follow' if json['subscribed'] else 'do not follow'}",
            lambda _, saw, __: f"it is {saw}" if saw is not None else "whether you follow it is not known",
        ),
    )


def _related_event_match(json: Mapping[str, Any]) -> Condition:
    """MSC3664. Without a key any event with such a relation will do; a key without a pattern never matches."""
    rel_type = string_of(json, "rel_type")
    with_fallbacks = json.get("include_fallbacks") is True
    key = property_path_of(json) if json.get("key") is not None else None
    path = parse_key(key) if key is not None else ()

    def related(subject: Subject) -> Subject | None:
        event = subject.related(rel_type)
        is_fallback = rel_type == "m.in_reply_to" and _relation(subject).get("is_falling_back") is True
        return event if with_fallbacks or not is_fallback else None

    def seen(subject: Subject) -> Any:
        event = related(subject)
        return MISSING if event is None else event.value(key, path) if key is not None else rel_type

    if key is None:
        match: Test = lambda _: True  # noqa: E731
    else:
        match = event_match(key, string_of(json, "pattern"), json).holds

    def holds(subject: Subject) -> bool:
        if not subject.work.spend(_LOOK):
            return False
        event = related(subject)
        return event is not None and match(event)

    return Condition(json["kind"], json, holds, seen, _RELATED)


def _word_related(json: Mapping[str, Any], names: Names) -> str:
    relation = "a reply" if json["rel_type"] == "m.in_reply_to" else f"related ({plain(json['rel_type'])})"
    if json.get("key") is None:
        return f"it is {relation}"
    return f"it is {relation} to an event of which {word_match(json, names)}"


_RELATED = ConditionWords(
    _word_related,
    lambda _, saw, __: f"it is {saw}" if saw is not None else "it is related to none, or to one that is not known",
)


def _call_started(json: Mapping[str, Any]) -> Condition:
    """MSC3914: a call that rings or asks to join, and has just begun: a new call, or one whose end has changed."""

    def holds(subject: Subject) -> bool:
        if not subject.work.spend(_LOOK):
            return False
        content, before = _object(subject.event.get("content")), _previous(subject)
        return (
            content.get("m.intent") in ("m.ring", "m.prompt")
            and "m.terminated" not in content
            and (not before or "m.terminated" in before)
        )

    words = ConditionWords(lambda *_: "a call begins")
    return Condition(json["kind"], json, holds, lambda subject: subject.value("content", ("content",)), words)


def _previous(subject: Subject) -> Mapping[str, Any]:
    # Beside `content` in former versions of the specification.
    before = _object(subject.event.get("unsigned")).get("prev_content", subject.event.get("prev_content"))
    return _object(before)


def _relation(subject: Subject) -> Mapping[str, Any]:
    return _object(subject.value(*_RELATES_TO))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


KINDS: Mapping[str, Callable[[Mapping[str, Any]], Condition]] = MappingProxyType(
    {
        "org.matrix.msc3931.room_version_supports": _room_version_supports,
        SUBSCRIPTION: _thread_subscription,
        "im.nheko.msc3664.related_event_match": _related_event_match,
        "org.matrix.msc3914.call_started": _call_started,
    }
)
"""What reads a condition, by its kind. Each raises Misshapen."""
