"""What the user wishes of the push rules -> the requests that make it so. None where it is so already.

https://spec.matrix.org/v1.17/client-server-api/#push-rules-api. Works on the `global` object as the homeserver gave it,
so that a rule the engine cannot read can still be removed. Rooms are muted as Element and others do it, by an override
rule, so that each client shows the same; users likewise, since Synapse passes `sender` rules over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.core.push.patterns import MAX_PATTERN, is_glob
from heliograph.core.push.rule import KINDS
from heliograph.core.push.verdict import verdict_of

USER_KINDS = ("override", "content", "room", "sender", "underride")
"""Kinds that users can make rules of."""

_UNFIT_FOR_ID = re.compile(r"[/\\]|^\.")
_LONGEST_ID = 255


class Refusal(Exception):
    """The wish cannot be met: what is wrong, and what to do instead."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__(title)
        self.title = title
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Put:
    """Make the rule, or replace it. On top of its kind, unless it is to stand next to another of the user's rules."""

    kind: str
    rule_id: str
    body: Json
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class SetEnabled:
    kind: str
    rule_id: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class SetActions:
    kind: str
    rule_id: str
    actions: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    kind: str
    rule_id: str


RuleChange = Put | SetEnabled | SetActions | Delete


@dataclass(frozen=True, slots=True)
class DesiredRule:
    """A rule as the user wants it."""

    kind: str
    rule_id: str
    actions: tuple[Any, ...]
    conditions: tuple[Json, ...] = ()
    """Of override and underride rules."""
    pattern: str | None = None
    """Of content rules."""

    @property
    def body(self) -> Json:
        """As PUT takes it."""
        body: dict[str, Any] = {"actions": list(self.actions)}
        if self.kind == "content":
            body["pattern"] = self.pattern
        elif self.kind in ("override", "underride"):
            body["conditions"] = list(self.conditions)
        return body


def actions_of(*, sound: str | None = None, highlight: bool = False) -> tuple[Any, ...]:
    """To notify, and how loudly."""
    tweaks: list[Any] = ["notify"]
    if sound is not None:
        tweaks.append({"set_tweak": "sound", "value": sound})
    if highlight:
        tweaks.append({"set_tweak": "highlight"})
    return tuple(tweaks)


def split_name(name: str) -> tuple[str, str]:
    """KIND/ID, as rules are listed. Raises Refusal."""
    kind, slash, rule_id = name.partition("/")
    if kind not in KINDS or not slash or not rule_id:
        raise Refusal(
            f"{name[:_LONGEST_ID]!r} does not name a rule.",
            f"Write it as `heliograph rules list` does: KIND/ID, where KIND is {', '.join(KINDS[:-1])} or {KINDS[-1]}.",
        )
    return kind, rule_id


# Keywords


def add_keyword(rules: Json, word: str, actions: tuple[Any, ...]) -> list[RuleChange]:
    """A content rule for the word, wherever another client may have made one. Raises Refusal."""
    word = _checked_word(word)
    same = [rule for rule in _user_rules(rules, "content") if _is_word(rule, word)]
    if not same:
        rule_id = _free_id(word, rules, "content")
        return [Put("content", rule_id, DesiredRule("content", rule_id, actions, pattern=word).body)]
    return _bring_in_force("content", same[0], actions)


def remove_keyword(rules: Json, word: str) -> list[RuleChange]:
    """Every rule of the user for this word. Raises Refusal if it is predefined."""
    word = _checked_word(word)
    same = [rule for rule in _rules(rules, "content") if _is_word(rule, word)]
    own = [rule["rule_id"] for rule in same if not _is_predefined(rule)]
    if not own and any(_is_enabled(rule) for rule in same):
        name = f"content/{same[0]['rule_id']}"
        raise Refusal(
            f"{word!r} rings by the predefined rule {name}, which cannot be removed.",
            f"Switch it off instead: heliograph rules disable {name}",
        )
    return [Delete("content", rule_id) for rule_id in own]


# Rooms and users


def mute_room(rules: Json, room_id: RoomId) -> list[RuleChange]:
    """Nothing of the room notifies, mentions included."""
    return _mute(rules, "room_id", room_id)


def room_mutes(rules: Json, room_id: RoomId) -> list[Json]:
    """The override rules that do nothing but silence this room, whichever client made them."""
    return list(_mutes(rules, "room_id", room_id))


def only_mentions(rules: Json, room_id: RoomId) -> list[RuleChange]:
    """Of the room only what override and content rules let through notifies: mentions and keywords."""
    changes: list[RuleChange] = []
    rule = find_rule(rules, "room", room_id)
    if rule is None:
        changes.append(Put("room", _checked_id(room_id), DesiredRule("room", room_id, ()).body))
    else:
        changes.extend(_bring_in_force("room", rule, ()))
    return [*changes, *_unmute(rules, "room_id", room_id)]


def unmute_room(rules: Json, room_id: RoomId) -> list[RuleChange]:
    """The room notifies as rooms do: undoes `mute_room` and `only_mentions`."""
    rule = find_rule(rules, "room", room_id)
    changes = _unmute(rules, "room_id", room_id)
    if rule is not None and _is_silent(rule):
        changes.append(Delete("room", room_id))
    return changes


def mute_user(rules: Json, user_id: str) -> list[RuleChange]:
    """Nothing that the user sends notifies: messages, mentions, invites."""
    return _mute(rules, "sender", user_id)


def unmute_user(rules: Json, user_id: str) -> list[RuleChange]:
    """Undoes `mute_user`, and silent `sender` rules of other clients."""
    rule = find_rule(rules, "sender", user_id)
    changes = _unmute(rules, "sender", user_id)
    if rule is not None and _is_silent(rule):
        changes.append(Delete("sender", user_id))
    return changes


def _mute(rules: Json, key: str, value: str) -> list[RuleChange]:
    mutes = list(_mutes(rules, key, value))
    if any(_is_enabled(rule) for rule in mutes):
        return []
    if mutes:
        return [SetEnabled("override", mutes[0]["rule_id"], enabled=True)]
    desired = DesiredRule("override", _free_id(value, rules, "override"), (), (names_exactly(key, value),))
    return [Put("override", desired.rule_id, desired.body)]


def _unmute(rules: Json, key: str, value: str) -> list[RuleChange]:
    return [Delete("override", rule["rule_id"]) for rule in _mutes(rules, key, value)]


def _mutes(rules: Json, key: str, value: str) -> Iterator[Json]:
    """Override rules that do nothing but silence this room or user, whichever client made them."""
    for rule in _user_rules(rules, "override"):
        if not _is_silent(rule):
            continue
        match rule.get("conditions"):
            case [{"kind": "event_match", "key": named, "pattern": str(other)}]:
                if named == key and other.lower() == value.lower() and not is_glob(other):
                    yield rule
            case [{"kind": "event_property_is", "key": named, "value": other}]:
                if (named, other) == (key, value):
                    yield rule


def names_exactly(key: str, value: str) -> Json:
    """The condition that a property is this id.

    As other clients write it; but old ids may hold what a pattern takes for a wildcard.
    """
    if is_glob(value):
        return {"kind": "event_property_is", "key": key, "value": value}
    return {"kind": "event_match", "key": key, "pattern": value}


# Any rule


def set_enabled(rules: Json, kind: str, rule_id: str, *, enabled: bool) -> list[RuleChange]:
    """Raises Refusal if there is no such rule."""
    rule = find_rule(rules, kind, rule_id)
    if rule is None:
        raise _unknown(kind, rule_id)
    return [] if _is_enabled(rule) is enabled else [SetEnabled(kind, rule_id, enabled)]


def remove_rule(rules: Json, kind: str, rule_id: str) -> list[RuleChange]:
    """Raises Refusal if it is predefined."""
    if rule_id.startswith("."):
        raise Refusal(
            f"{kind}/{rule_id} is predefined and cannot be removed.",
            f"Switch it off instead: heliograph rules disable {kind}/{rule_id}",
        )
    return [] if find_rule(rules, kind, rule_id) is None else [Delete(kind, rule_id)]


def add_rule(
    rules: Json, desired: DesiredRule, *, before: str | None = None, after: str | None = None
) -> list[RuleChange]:
    """The rule as wished and enabled, next to another where one is named. Raises Refusal."""
    if desired.kind not in USER_KINDS:
        raise Refusal(
            f"The homeserver alone makes {desired.kind} rules.", f"Take one of {', '.join(USER_KINDS)} instead."
        )
    _checked_id(desired.rule_id)
    _checked_shape(desired)
    if before is not None and after is not None:
        raise Refusal("A rule stands before another or after one, not both.", "Leave --before or --after out.")
    for neighbour in filter(None, (before, after)):
        _checked_neighbour(rules, desired, neighbour)
    known = find_rule(rules, desired.kind, desired.rule_id)
    if known is None or not _is_same(known, desired) or not _is_placed(rules, desired, before, after):
        changes: list[RuleChange] = [Put(desired.kind, desired.rule_id, desired.body, before, after)]
        return changes if known is None or _is_enabled(known) else [*changes, _on(desired.kind, desired.rule_id)]
    return _bring_in_force(desired.kind, known, desired.actions)


def find_rule(rules: Json, kind: str, rule_id: str) -> Json | None:
    """The rule as the homeserver gave it."""
    return next((rule for rule in _rules(rules, kind) if rule["rule_id"] == rule_id), None)


def _bring_in_force(kind: str, rule: Json, actions: Sequence[Any]) -> list[RuleChange]:
    changes: list[RuleChange] = []
    if verdict_of(rule.get("actions")) != verdict_of(actions):
        changes.append(SetActions(kind, rule["rule_id"], tuple(actions)))
    return changes if _is_enabled(rule) else [*changes, _on(kind, rule["rule_id"])]


def _on(kind: str, rule_id: str) -> RuleChange:
    return SetEnabled(kind, rule_id, enabled=True)


def _is_same(rule: Json, desired: DesiredRule) -> bool:
    """Asks the same, whatever happens then."""
    if desired.kind == "content":
        return rule.get("pattern") == desired.pattern
    return desired.kind in ("room", "sender") or rule.get("conditions") == list(desired.conditions)


def _is_placed(rules: Json, desired: DesiredRule, before: str | None, after: str | None) -> bool:
    order = [rule["rule_id"] for rule in _rules(rules, desired.kind)]
    place = order.index(desired.rule_id)
    is_before = before is None or order[place + 1 : place + 2] == [before]
    return is_before and (after is None or order[:place][-1:] == [after])


# What the homeserver gave


def _rules(rules: Json, kind: str) -> Iterator[Json]:
    listed = rules.get(kind)
    for rule in listed if isinstance(listed, list) else ():
        if isinstance(rule, Mapping) and isinstance(rule.get("rule_id"), str):
            yield rule


def _user_rules(rules: Json, kind: str) -> Iterator[Json]:
    return (rule for rule in _rules(rules, kind) if not _is_predefined(rule))


def _is_predefined(rule: Json) -> bool:
    return bool(rule["rule_id"].startswith("."))


def _is_enabled(rule: Json) -> bool:
    return rule.get("enabled", True) is True


def _is_silent(rule: Json) -> bool:
    return not verdict_of(rule.get("actions")).notify


def _is_word(rule: Json, word: str) -> bool:
    pattern = rule.get("pattern")
    return isinstance(pattern, str) and pattern.lower() == word.lower()


# What the homeserver takes


def _checked_word(word: str) -> str:
    word = word.strip()
    if not word or len(word) > MAX_PATTERN or not word.isprintable():
        raise Refusal(
            "A keyword is a word or a few, of one line.", 'For example: heliograph rules keyword add "code review"'
        )
    return word


def _checked_id(rule_id: str) -> str:
    if rule_id.startswith("."):
        raise Refusal(
            f"{rule_id[:_LONGEST_ID]!r} cannot be the id of your rule: ids with a dot in front are the homeserver's.",
            "Take another id.",
        )
    if _UNFIT_FOR_ID.search(rule_id) or not rule_id.strip() or not rule_id.isprintable() or len(rule_id) > _LONGEST_ID:
        raise Refusal(
            f"{rule_id[:_LONGEST_ID]!r} cannot be the id of a rule.",
            f"Take one without slash, backslash and control characters, of at most {_LONGEST_ID} characters.",
        )
    return rule_id


def _checked_shape(desired: DesiredRule) -> None:
    has_conditions = desired.kind in ("override", "underride")
    if desired.conditions and not has_conditions:
        raise Refusal(f"A {desired.kind} rule has no conditions.", "Make it an override or an underride rule.")
    if (desired.pattern is not None) is not (desired.kind == "content"):
        raise Refusal(
            "A content rule has a pattern, and no other rule has.",
            "Give --pattern with content rules; with others, --condition content.body=PATTERN does the same.",
        )


def _checked_neighbour(rules: Json, desired: DesiredRule, neighbour: str) -> None:
    if neighbour == desired.rule_id:
        raise Refusal("A rule cannot stand next to itself.", "Name another rule of yours.")
    if neighbour.startswith("."):
        raise Refusal(
            f"{desired.kind}/{neighbour} is predefined: your own rules always stand before it "
            "(and after .m.rule.master).",
            "Name another rule of yours, or leave --before and --after out.",
        )
    if find_rule(rules, desired.kind, neighbour) is None:
        raise _unknown(desired.kind, neighbour)


def _unknown(kind: str, rule_id: str) -> Refusal:
    return Refusal(f"There is no rule {kind}/{rule_id[:_LONGEST_ID]}.", "See `heliograph rules list`.")


def _free_id(text: str, rules: Json, kind: str) -> str:
    """The text itself as other clients do, if it can be an id that is not taken yet; or something like it."""
    plain = _UNFIT_FOR_ID.sub("_", text)[: _LONGEST_ID - 5]
    taken: Callable[[str], bool] = lambda rule_id: find_rule(rules, kind, rule_id) is not None  # noqa: E731
    if not taken(plain):
        return plain
    return next(rule_id for number in range(2, 100_000) if not taken(rule_id := f"{plain}-{number}"))
