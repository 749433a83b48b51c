"""The kinds of condition that ask for facts of the user and the room, which the event itself does not say.

https://spec.matrix.org/v1.17/client-server-api/#conditions-1
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from heliograph.core.push.condition import Condition, ConditionWords, Misshapen, known, string_of
from heliograph.core.push.conditions.properties import phrase_occurs
from heliograph.core.push.context import Context
from heliograph.core.push.flatten import parse_key
from heliograph.core.push.levels import level_to_notify
from heliograph.core.push.patterns import MAX_PATTERN, phrase_of
from heliograph.core.push.phrases import Names, quoted, shown
from heliograph.core.push.subject import BODY, Subject
from heliograph.core.text.clean import clean_line

_BODY_PATH = parse_key(BODY)
_NAME = 200
_COUNTS = (("==", ""), ("<=", "at most "), (">=", "at least "), ("<", "fewer than "), (">", "more than "))


def _contains_display_name(json: Mapping[str, Any]) -> Condition:
    def holds(subject: Subject) -> bool:
        # One answer for all rules that ask.
        if subject.says_name is None:
            name = subject.context.display_name
            is_sought = bool(name) and len(name or "") <= MAX_PATTERN and subject.work.left >= 0
            # A phrase and not a pattern: a star in a name is a star.
            subject.says_name = is_sought and phrase_occurs(phrase_of(name or ""))(subject)
        return subject.says_name

    return Condition(
        "contains_display_name",
        json,
        holds,
        lambda subject: subject.value(BODY, _BODY_PATH),
        ConditionWords(lambda *_: "it contains your display name", _found_name),
        is_about_messages=True,
    )


def _found_name(_: Mapping[str, Any], saw: str | None, context: Context) -> str:
    name = clean_line(context.display_name or "", _NAME)
    return f"you are called {shown(name)}, and it says {saw or 'nothing'}" if name else "you have no name there"


_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = MappingProxyType(
    {"": operator.eq, "==": operator.eq, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
)
# Leading zeros are fine; signs, blanks and digits of other scripts are not, as in Synapse.
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
        ConditionWords(_word_count, _found_count),
    )


def _word_count(json: Mapping[str, Any], _: Names) -> str:
    text: str = json["is"]
    how, number = next(
        ((words, text.removeprefix(sign)) for sign, words in _COUNTS if text.startswith(sign)), ("", text)
    )
    count = number.lstrip("0") or "0"
    return f"the room has {how}{count} {'member' if count == '1' else 'members'}"


def _found_count(_: Mapping[str, Any], saw: str | None, __: Context) -> str:
    return f"it has {saw}" if saw is not None else "how many it has is not known"


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
        ConditionWords(_word_permission, _found_permission),
    )


def _word_permission(json: Mapping[str, Any], _: Names) -> str:
    key = json["key"]
    return f"its sender may notify {'the whole room' if key == 'room' else quoted(key)}"


def _found_permission(json: Mapping[str, Any], saw: str | None, context: Context) -> str:
    needed = level_to_notify(json["key"], context)
    return f"the sender's power level is {saw or 'not known'}, and {shown(needed)} is needed"


KINDS: Mapping[str, Callable[[Mapping[str, Any]], Condition]] = MappingProxyType(
    {
        "contains_display_name": _contains_display_name,
        "room_member_count": _room_member_count,
        "sender_notification_permission": _sender_notification_permission,
    }
)
"""What reads a condition, by its kind. Each raises Misshapen."""
