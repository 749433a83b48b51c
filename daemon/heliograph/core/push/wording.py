"""Puts a push rule into a sentence: when it matches, and what happens then. One line, whatever strangers wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from heliograph.core.push.condition import Condition
from heliograph.core.push.patterns import is_glob
from heliograph.core.push.rule import Rule
from heliograph.core.push.verdict import Verdict
from heliograph.core.text.clean import clean_line

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
_COUNTS = (("==", ""), ("<=", "at most "), (">=", "at least "), ("<", "fewer than "), (">", "more than "))
_TEXT = 80
_ROOM = 60


@dataclass(frozen=True, slots=True)
class Names:
    """Who is asking, and the names of the rooms that rules name by their ids."""

    me: str = ""
    rooms: Mapping[str, str] = field(default_factory=dict)

    def room(self, room_id: str) -> str:
        """The room's name and id, or only the id."""
        name = clean_line(self.rooms.get(room_id, ""), _ROOM)
        return f"{name} ({_plain(room_id)})" if name else _plain(room_id)

    def user(self, user_id: str) -> str:
        return "you" if user_id == self.me else _plain(user_id)


def word_rule(rule: Rule, names: Names) -> str:
    """The rule in a sentence, whether it is enabled or not."""
    clauses = [clause for condition in rule.conditions if (clause := word_condition(condition, names))]
    when = f"When {' and '.join(clauses)}" if rule.conditions else "Always"
    return f"{when}: {word_verdict(rule.verdict)}."


def find_trouble(rule: Rule, decider: Rule | None) -> str | None:
    """Why an enabled rule decides nothing. None if it can decide something, or is not enabled.

    `decider`: a rule that is tried before this one and matches everything.
    """
    if not rule.enabled:
        return None
    if decider is not None:
        return f"never reached: {_plain(decider.kind)}/{_plain(decider.rule_id)} matches everything before it"
    return None if rule.can_match else "never matches"


def word_verdict(verdict: Verdict) -> str:
    """What the verdict comes to: stay silent or notify, and how loudly."""
    if not verdict.notify:
        return "stay silent"
    how = []
    if verdict.sound is not None:
        how.append("with sound" if verdict.sound == "default" else f"with the sound {_quoted(verdict.sound)}")
    if verdict.highlight:
        how.append("highlighted")
    return "notify" + "".join(f", {each}" for each in how)


def word_condition(condition: Condition, names: Names) -> str:
    """What the condition asks, as a clause."""
    if not condition.can_hold:
        return f"a condition holds that never does ({_plain(_compact(condition.json))})"
    return _CLAUSES[condition.kind](condition.json, names)


def _event_match(json: Mapping[str, Any], names: Names) -> str:
    key, pattern = json["key"], json["pattern"]
    is_literal = not is_glob(pattern)
    match key:
        case "type" if is_literal:
            return _TYPES.get(pattern.lower(), f"its type is {_plain(pattern)}")
        case "content.body":
            return f"it says {_quoted(pattern)}" if is_literal else f"it says something like {_quoted(pattern)}"
        case "content.msgtype" if pattern == "m.notice":
            return "it is a notice, as bots send"
        case "room_id" | "sender" if is_literal:
            return _whose(key, pattern, names)
        case "state_key" if is_literal and pattern == names.me != "":
            return "it is about you"
    return f"{_plain(key)} is {'' if is_literal else 'like '}{_quoted(pattern)}"


def _property_is(json: Mapping[str, Any], names: Names) -> str:
    match json["key"], json["value"]:
        case ("room_id" | "sender") as key, str(value):
            return _whose(key, value, names)
        case r"content.m\.mentions.room", True:
            return "it mentions the whole room"
        case r"content.m\.relates_to.rel_type", "m.replace":
            return "it is an edit"
    return f"{_plain(json['key'])} is {_plain(_compact(json['value']))}"


def _property_contains(json: Mapping[str, Any], names: Names) -> str:
    key, value = json["key"], json["value"]
    if key == r"content.m\.mentions.user_ids" and isinstance(value, str):
        return f"it mentions {names.user(value)}"
    return f"{_plain(key)} contains {_plain(_compact(value))}"


def _whose(key: str, value: str, names: Names) -> str:
    return f"it is in {names.room(value)}" if key == "room_id" else f"it is from {names.user(value)}"


def _member_count(json: Mapping[str, Any], _: Names) -> str:
    text: str = json["is"]
    how, number = next(
        ((words, text.removeprefix(sign)) for sign, words in _COUNTS if text.startswith(sign)), ("", text)
    )
    count = number.lstrip("0") or "0"
    return f"the room has {how}{count} {'member' if count == '1' else 'members'}"


def _sender_may(json: Mapping[str, Any], _: Names) -> str:
    key = json["key"]
    return f"its sender may notify {'the whole room' if key == 'room' else _quoted(key)}"


def _related(json: Mapping[str, Any], names: Names) -> str:
    relation = "a reply" if json["rel_type"] == "m.in_reply_to" else f"related ({_plain(json['rel_type'])})"
    if json.get("key") is None:
        return f"it is {relation}"
    return f"it is {relation} to an event of which {_event_match(json, names)}"


_CLAUSES: Mapping[str, Callable[[Mapping[str, Any], Names], str]] = MappingProxyType(
    {
        "event_match": _event_match,
        "event_property_is": _property_is,
        "event_property_contains": _property_contains,
        "contains_display_name": lambda _, __: "it contains your display name",
        "room_member_count": _member_count,
        "sender_notification_permission": _sender_may,
        "no m.mentions": lambda _, __: "it comes from an old client, which marks no mentions",
        "org.matrix.msc3931.room_version_supports": lambda json, _: (
            f"the room's version has {_quoted(json['feature'])}"
        ),
        "io.element.msc4306.thread_subscription": lambda json, _: (
            f"it is in a thread that you {'follow' if json['subscribed'] else 'do not follow'}"
        ),
        "im.nheko.msc3664.related_event_match": _related,
        "org.matrix.msc3914.call_started": lambda _, __: "a call begins",
    }
)


def _quoted(text: str) -> str:
    return f"“{_plain(text)}”"


def _plain(text: str) -> str:
    return clean_line(text, _TEXT)


def _compact(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError):
        return "too deep to be shown"
