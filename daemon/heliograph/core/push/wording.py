"""Puts a push rule into a sentence: when it matches, and what happens then. One line, whatever strangers wrote."""

from __future__ import annotations

from heliograph.core.push.phrases import Names, plain, quoted
from heliograph.core.push.rule import Rule
from heliograph.core.push.verdict import Verdict


def word_rule(rule: Rule, names: Names) -> str:
    """The rule in a sentence, whether it is enabled or not."""
    clauses = [clause for condition in rule.conditions if (clause := condition.word(names))]
    when = f"When {' and '.join(clauses)}" if rule.conditions else "Always"
    return f"{when}: {word_verdict(rule.verdict)}."


def find_trouble(rule: Rule, decider: Rule | None) -> str | None:
    """Why an enabled rule decides nothing. None if it can decide something, or is not enabled.

    `decider`: a rule that is tried before this one and matches everything.
    """
    if not rule.enabled:
        return None
    if decider is not None:
        return f"never reached: {plain(decider.kind)}/{plain(decider.rule_id)} matches everything before it"
    return None if rule.can_match else "never matches"


def word_verdict(verdict: Verdict) -> str:
    """What the verdict comes to: stay silent or notify, and how loudly."""
    if not verdict.notify:
        return "stay silent"
    how = []
    if verdict.sound is not None:
        how.append("with sound" if verdict.sound == "default" else f"with the sound {quoted(verdict.sound)}")
    if verdict.highlight:
        how.append("highlighted")
    return "notify" + "".join(f", {each}" for each in how)
