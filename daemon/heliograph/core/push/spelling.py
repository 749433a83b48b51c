"""Reads conditions and actions as people write them on a command line.

type=m.room.message                              event_match: a pattern with * and ?; words of content.body
content.x==true                                  event_property_is: a string, integer, true, false or null
content.m\\.mentions.user_ids contains @me:x     event_property_contains
display-name                                     contains_display_name
members>10                                       room_member_count; also = <= >= <
sender-may-notify=room                           sender_notification_permission
{"kind": ...}                                    any other, as JSON
"""

from __future__ import annotations

import json
import re
from typing import Any

from heliograph.core.events import Json
from heliograph.core.push.desired_rule import Refusal
from heliograph.core.push.rules import Ruleset

_MEMBERS = re.compile(r"members\s*(==|<=|>=|<|>|=)\s*([0-9]+)")
_CONTAINS = re.compile(r"(\S+)\s+contains\s+(.+)", re.DOTALL)
_SHOWN = 200


def read_condition(text: str) -> Json:
    """The condition as JSON. Raises Refusal if the text is no condition, or one that never holds."""
    condition = _condition(text.strip())
    rule = {"rule_id": "new", "actions": [], "conditions": [condition]}
    ruleset = Ruleset.parse({"override": [rule]})
    if not all(rule.can_match for rule in ruleset.rules):
        problem = ruleset.problems[0].partition(": ")[2] if ruleset.problems else "its kind is not known"
        raise Refusal(f"The condition {text[:_SHOWN]!r} never holds: {problem}.", _HINT)
    return condition


def read_action(text: str) -> Any:
    """`notify`, or a tweak as JSON. Raises Refusal."""
    if text == "notify":
        return text
    action = _object(text) if text.lstrip().startswith("{") else None
    if action is None or not isinstance(action.get("set_tweak"), str):
        raise Refusal(
            f"{text[:_SHOWN]!r} is not an action.",
            'Write notify, or a tweak like \'{"set_tweak": "sound", "value": "default"}\'; for none, --dont-notify.',
        )
    return action


_HINT = "See `heliograph rules add --help` for how conditions are written."


def _condition(text: str) -> Json:
    if text.startswith("{"):
        return _object(text)
    if text == "display-name":
        return {"kind": "contains_display_name"}
    # Before the "=" is looked for, which stands in `members>=10` as well.
    if match := _MEMBERS.fullmatch(text):
        sign = "" if match[1] in ("=", "==") else match[1]
        return {"kind": "room_member_count", "is": sign + match[2]}
    key, equals, rest = (part.strip() for part in text.partition("="))
    # A blank before the "=" means that the "=" belongs to the value of `... contains a=b`.
    if equals and key and not re.search(r"\s", key):
        if key == "sender-may-notify":
            return {"kind": "sender_notification_permission", "key": rest}
        if rest.startswith("="):
            return {"kind": "event_property_is", "key": key, "value": _value(rest[1:].strip())}
        return {"kind": "event_match", "key": key, "pattern": rest}
    if match := _CONTAINS.fullmatch(text):
        return {"kind": "event_property_contains", "key": match[1], "value": _value(match[2])}
    raise Refusal(f"{text[:_SHOWN]!r} is not a condition.", _HINT)


def _object(text: str) -> Json:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refusal(f"{text[:_SHOWN]!r} is not a JSON object.", _HINT)
    return value


def _value(text: str) -> Any:
    """The value that the text is as JSON; text that is no JSON stands for itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
