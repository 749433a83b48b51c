"""Looks through the push rules that the homeserver lists: the `global` object of GET /pushrules/, as it was given.

The engine's own reader leaves out rules that it cannot judge by. Here they stay, so that the user can remove them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from heliograph.core.events import Json
from heliograph.core.push.verdict import verdict_of


def rules_of(rules: Json, kind: str) -> Iterator[Json]:
    """All rules of the kind that have an id, in the order in which they are tried."""
    listed = rules.get(kind)
    for rule in listed if isinstance(listed, list) else ():
        if isinstance(rule, Mapping) and isinstance(rule.get("rule_id"), str):
            yield rule


def user_rules(rules: Json, kind: str) -> Iterator[Json]:
    """The rules of the kind that are not predefined."""
    return (rule for rule in rules_of(rules, kind) if not is_predefined(rule))


def find_rule(rules: Json, kind: str, rule_id: str) -> Json | None:
    """The rule of this kind and id; None if there is none."""
    return next((rule for rule in rules_of(rules, kind) if rule["rule_id"] == rule_id), None)


def is_predefined(rule: Json) -> bool:
    """Returns True for a rule of the homeserver's own, which can be switched off and not removed."""
    return bool(rule["rule_id"].startswith("."))


def is_enabled(rule: Json) -> bool:
    """Returns True unless the rule is switched off."""
    return rule.get("enabled", True) is True


def is_silent(rule: Json) -> bool:
    """Returns True if nothing rings that the rule matches."""
    return not verdict_of(rule.get("actions")).notify


def is_about_word(rule: Json, word: str) -> bool:
    """Returns True if the content rule is for this word, in any case."""
    pattern = rule.get("pattern")
    return isinstance(pattern, str) and pattern.lower() == word.lower()
