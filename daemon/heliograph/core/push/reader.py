"""Reads rules from the JSON of GET /pushrules/ or `m.push_rules`, and says what is wrong with them.

Homeservers check rules when they are made, so wrong shapes are rare; but a rule may come from anywhere. A rule that
cannot be read is left out, a rule with a condition that cannot be read never matches. Each problem is told in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from heliograph.core.push.condition import Condition, Misshapen, never
from heliograph.core.push.conditions import facts, properties, unstable
from heliograph.core.push.conditions.properties import event_match, has_no_mentions, property_is
from heliograph.core.push.patterns import MAX_PATTERN, collapse
from heliograph.core.push.rule import KINDS, Rule
from heliograph.core.push.subject import BODY
from heliograph.core.push.verdict import verdict_of

MAX_RULES = 10_000
MAX_CONDITIONS = 20_000
"""The most conditions of all rules together; a rule beyond them is left out."""
MAX_PATTERNS = 500_000
"""Code points of all patterns together, runs of stars counted as one."""
MAX_PROBLEMS = 20
_MAX_SHOWN = 120

_CONDITIONS = {**properties.KINDS, **facts.KINDS, **unstable.KINDS}

_LEGACY_MENTIONS = frozenset(
    {
        ("override", ".m.rule.contains_display_name"),
        ("override", ".m.rule.roomnotif"),
        ("content", ".m.rule.contains_user_name"),
    }
)
"""Rules of specifications before 1.17, which intentional mentions switch off."""


class Reader:
    """Reads one ruleset. `rules` stand in the order in which they are tried."""

    def __init__(self, ruleset: Any) -> None:
        self.rules: list[Rule] = []
        self.problems: list[str] = []
        self._unsaid = 0
        self._conditions_left = MAX_CONDITIONS
        self._patterns_left = MAX_PATTERNS
        if not isinstance(ruleset, Mapping):
            self._complain("the push rules are not an object")
            return
        # Other kinds are passed over: Synapse always sends an empty `postcontent` (MSC4306).
        for kind in KINDS:
            self._read_kind(kind, ruleset.get(kind, []))
        if self._unsaid:
            self.problems.append(f"and {self._unsaid} more problems")

    def _complain(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self._unsaid += 1

    def _read_kind(self, kind: str, rules: Any) -> None:
        if not isinstance(rules, list):
            self._complain(f"the {kind} rules are not an array")
            return
        for number, rule in enumerate(rules, 1):
            if len(self.rules) >= MAX_RULES:
                self._complain(f"there are more than {MAX_RULES} rules; the later ones are left out")
                return
            try:
                self.rules.append(self._rule(kind, rule))
            except Misshapen as problem:
                self._complain(f"{kind} rule {number} is left out: {problem}")

    def _rule(self, kind: str, rule: Any) -> Rule:
        if not isinstance(rule, Mapping):
            raise Misshapen("it is not an object")
        rule_id, enabled, actions = rule.get("rule_id"), rule.get("enabled", True), rule.get("actions")
        if not isinstance(rule_id, str) or not rule_id or len(rule_id) > MAX_PATTERN:
            raise Misshapen("it has no id of a sane length")
        if not isinstance(enabled, bool):
            raise Misshapen("enabled is not a boolean")
        if not isinstance(actions, list):
            raise Misshapen("actions are not an array")
        name = f"{kind}/{rule_id}"
        found = tuple(self._conditions(kind, name, rule))
        if (kind, rule_id) in _LEGACY_MENTIONS:
            found = (has_no_mentions({}), *found)
        return Rule(kind, rule_id, enabled, found, verdict_of(actions, name))

    def _conditions(self, kind: str, name: str, rule: Mapping[str, Any]) -> Iterator[Condition]:
        match kind:
            case "content":
                pattern = rule.get("pattern")
                if not isinstance(pattern, str):
                    raise Misshapen("it has no string pattern")
                self._count(pattern)
                yield event_match(BODY, pattern, {"kind": "event_match", "key": BODY, "pattern": pattern})
            case "room" | "sender":
                # Compared as it stands: an id may hold what a pattern takes for a wildcard.
                key = "room_id" if kind == "room" else "sender"
                value = rule["rule_id"]
                yield property_is(key, value, {"kind": "event_property_is", "key": key, "value": value})
            case _:
                listed = rule.get("conditions", [])
                if not isinstance(listed, list):
                    raise Misshapen("conditions are not an array")
                if len(listed) > self._conditions_left:
                    raise Misshapen(f"the rules have more than {MAX_CONDITIONS} conditions")
                self._conditions_left -= len(listed)
                for condition in listed:
                    yield self._condition(name, condition)

    def _count(self, pattern: Any) -> None:
        if isinstance(pattern, str):
            size = len(collapse(pattern))
            if size > self._patterns_left:
                raise Misshapen(f"the patterns have more than {MAX_PATTERNS} characters")
            self._patterns_left -= size

    def _condition(self, name: str, condition: Any) -> Condition:
        json = condition if isinstance(condition, Mapping) else {}
        kind = json.get("kind")
        if not isinstance(kind, str):
            self._complain(f"{name[:_MAX_SHOWN]!r} never matches: a condition has no kind")
            return never(json)
        # No problem to tell: a homeserver may know newer kinds, and the specification wants such a rule not to match.
        if kind not in _CONDITIONS:
            return never(json)
        try:
            # Counted before the pattern is compiled, which is the work that the bound is about.
            self._count(json.get("pattern"))
            return _CONDITIONS[kind](json)
        except Misshapen as problem:
            self._complain(f"{name[:_MAX_SHOWN]!r} never matches: {problem}")
            return never(json)
