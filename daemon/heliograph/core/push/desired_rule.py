"""A push rule as the user wants it, and whether a homeserver would take it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from heliograph.core.events import Json
from heliograph.core.push.listed_rules import find_rule
from heliograph.core.push.patterns import MAX_PATTERN, is_glob
from heliograph.core.push.rule import KINDS
from heliograph.core.value_type import value_type

USER_KINDS = ("override", "content", "room", "sender", "underride")
"""Kinds that users can make rules of."""

# Homeservers refuse slashes and backslashes in ids, and keep ids with a dot in front for their own rules.
_UNFIT_FOR_ID = re.compile(r"[/\\]|^\.")
_LONGEST_ID = 255


class Refusal(Exception):
    """What the user wants cannot be done: `title` says what is wrong, `hint` what to do instead."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__(title)
        self.title = title
        self.hint = hint


@value_type
class DesiredRule:
    """A rule as the user wants it."""

    kind: str
    rule_id: str
    actions: tuple[Any, ...]
    conditions: tuple[Json, ...] = ()
    """Only override and underride rules have any."""
    pattern: str | None = None
    """Only content rules have one."""

    @property
    def body(self) -> Json:
        """The rule as PUT takes it."""
        body: dict[str, Any] = {"actions": list(self.actions)}
        if self.kind == "content":
            body["pattern"] = self.pattern
        elif self.kind in ("override", "underride"):
            body["conditions"] = list(self.conditions)
        return body

    def asks_the_same(self, rule: Json) -> bool:
        """Returns True if `rule`, of the same kind and id, matches the same events, whatever happens then."""
        if self.kind == "content":
            return rule.get("pattern") == self.pattern
        return self.kind in ("room", "sender") or rule.get("conditions") == list(self.conditions)


def actions_of(*, sound: str | None = None, highlight: bool = False) -> tuple[Any, ...]:
    """The actions of a rule that notifies, as loudly as this."""
    tweaks: list[Any] = ["notify"]
    if sound is not None:
        tweaks.append({"set_tweak": "sound", "value": sound})
    if highlight:
        tweaks.append({"set_tweak": "highlight"})
    return tuple(tweaks)


def names_exactly(key: str, value: str) -> Json:
    """The condition that a property is this id, as other clients write it.

    They write a pattern; but old ids may hold what a pattern takes for a wildcard. These are compared as they are.
    Test: test_an_id_with_wildcards_in_it_mutes_nobody_else.
    """
    if is_glob(value):
        return {"kind": "event_property_is", "key": key, "value": value}
    return {"kind": "event_match", "key": key, "pattern": value}


def split_name(name: str) -> tuple[str, str]:
    """The kind and the id in KIND/ID, as rules are listed. Raises Refusal."""
    kind, slash, rule_id = name.partition("/")
    if kind not in KINDS or not slash or not rule_id:
        raise Refusal(
            f"{name[:_LONGEST_ID]!r} does not name a rule.",
            f"Write it as `heliograph rules list` does: KIND/ID, where KIND is {', '.join(KINDS[:-1])} or {KINDS[-1]}.",
        )
    return kind, rule_id


# What a homeserver takes


def checked_word(word: str) -> str:
    """The keyword without space around it. Raises Refusal."""
    word = word.strip()
    if not word or len(word) > MAX_PATTERN or not word.isprintable():
        raise Refusal(
            "A keyword is a word or a few, of one line.", 'For example: heliograph rules keyword add "code review"'
        )
    return word


def checked_id(rule_id: str) -> str:
    """The same id. Raises Refusal if it cannot be the id of a rule of the user's."""
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


def check_rule(desired: DesiredRule) -> None:
    """Raises Refusal if no user can have such a rule."""
    if desired.kind not in USER_KINDS:
        raise Refusal(
            f"The homeserver alone makes {desired.kind} rules.", f"Take one of {', '.join(USER_KINDS)} instead."
        )
    checked_id(desired.rule_id)
    if desired.conditions and desired.kind not in ("override", "underride"):
        raise Refusal(f"A {desired.kind} rule has no conditions.", "Make it an override or an underride rule.")
    if (desired.pattern is not None) is not (desired.kind == "content"):
        raise Refusal(
            "A content rule has a pattern, and no other rule has.",
            "Give --pattern with content rules; with others, --condition content.body=PATTERN does the same.",
        )


def check_neighbours(rules: Json, desired: DesiredRule, before: str | None, after: str | None) -> None:
    """Raises Refusal if the rule cannot stand next to these."""
    if before is not None and after is not None:
        raise Refusal("A rule stands before another or after one, not both.", "Leave --before or --after out.")
    neighbour = before or after
    if neighbour is None:
        return
    if neighbour == desired.rule_id:
        raise Refusal("A rule cannot stand next to itself.", "Name another rule of yours.")
    if neighbour.startswith("."):
        raise Refusal(
            f"{desired.kind}/{neighbour} is predefined: your own rules always stand before it "
            "(and after .m.rule.master).",
            "Name another rule of yours, or leave --before and --after out.",
        )
    if find_rule(rules, desired.kind, neighbour) is None:
        raise unknown_rule(desired.kind, neighbour)


def unknown_rule(kind: str, rule_id: str) -> Refusal:
    """The refusal for a rule that the homeserver does not have."""
    return Refusal(f"There is no rule {kind}/{rule_id[:_LONGEST_ID]}.", "See `heliograph rules list`.")


def free_id(text: str, rules: Json, kind: str) -> str:
    """An id for a rule about this text: the text itself, as other clients do, or something like it if the text is taken
    or cannot be an id."""
    # Five characters are left for the number behind it.
    plain = _UNFIT_FOR_ID.sub("_", text)[: _LONGEST_ID - 5]
    taken: Callable[[str], bool] = lambda rule_id: find_rule(rules, kind, rule_id) is not None  # noqa: E731
    if not taken(plain):
        return plain
    return next(rule_id for number in range(2, 100_000) if not taken(rule_id := f"{plain}-{number}"))
