"""Rules of wrong shapes: never an exception, always a sentence, and the other rules still hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from heliograph.core.push.context import Context
from heliograph.core.push.patterns import MAX_PATTERN
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.reader import MAX_CONDITIONS, MAX_PATTERNS, MAX_PROBLEMS, MAX_RULES
from heliograph.core.push.rules import Ruleset
from support.builders import ME, make_event
from support.rule_builders import judge, make_rule, match, with_body
from support.spoiling import spoiled

_REST = {"underride": [make_rule("rest")]}


@pytest.mark.parametrize("rules", [None, [], "rules", 1, True])
def test_what_is_no_object_has_no_rules(rules: Any) -> None:
    ruleset = Ruleset.parse(rules)

    assert ruleset.rules == ()
    assert ruleset.problems == ("the push rules are not an object",)


@pytest.mark.parametrize("rules", [None, {}, "rules", 1])
def test_a_kind_that_is_no_array_is_passed_over(rules: Any) -> None:
    ruleset = Ruleset.parse({"override": rules, **_REST})

    assert len(ruleset.rules) == 1
    assert ruleset.problems == ("the override rules are not an array",)


def test_unknown_kinds_are_passed_over_silently() -> None:
    ruleset = Ruleset.parse({"device": {"x": 1}, "org.example.kind": None, "postcontent": [], **_REST})

    assert len(ruleset.rules) == 1
    assert ruleset.problems == ()


@pytest.mark.parametrize(
    ("kind", "rule", "problem"),
    [
        ("override", None, "it is not an object"),
        ("override", [], "it is not an object"),
        ("override", {"actions": []}, "it has no id of a sane length"),
        ("override", make_rule(""), "it has no id of a sane length"),
        ("override", {**make_rule(), "rule_id": 1}, "it has no id of a sane length"),
        ("room", make_rule("!" * (MAX_PATTERN + 1)), "it has no id of a sane length"),
        ("override", make_rule(enabled="yes"), "enabled is not a boolean"),
        ("override", make_rule(enabled=None), "enabled is not a boolean"),
        ("override", make_rule(actions=None), "actions are not an array"),
        ("override", make_rule(actions="notify"), "actions are not an array"),
        ("override", make_rule(conditions=None), "conditions are not an array"),
        ("override", make_rule(conditions={}), "conditions are not an array"),
        ("content", make_rule(), "it has no string pattern"),
        ("content", make_rule(pattern=1), "it has no string pattern"),
        ("content", make_rule(pattern="a*" * MAX_PATTERN), f"a pattern has more than {MAX_PATTERN} characters"),
        ("content", make_rule(pattern="a " * MAX_PATTERN), f"a pattern has more than {MAX_PATTERN} characters"),
    ],
)
def test_a_rule_that_cannot_be_read_is_left_out(kind: str, rule: Any, problem: str) -> None:
    ruleset = Ruleset.parse({**_REST, kind: [rule]})

    assert [rule.rule_id for rule in ruleset.rules] == ["rest"]
    assert ruleset.problems == (f"{kind} rule 1 is left out: {problem}",)


def test_a_rule_that_does_not_say_whether_it_is_enabled_is() -> None:
    assert judge({"override": [{"rule_id": "mine", "actions": ["notify"]}]}, with_body("x")).notify


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        (None, "a condition has no kind"),
        ("event_match", "a condition has no kind"),
        ({}, "a condition has no kind"),
        ({"kind": 1}, "a condition has no kind"),
        ({"kind": "event_match", "key": "type"}, "event_match has no string pattern"),
        ({"kind": "event_match", "pattern": "x"}, "event_match has no string key"),
        (match("k" * (MAX_PATTERN + 1), "x"), f"a key has more than {MAX_PATTERN} characters"),
        (
            {"kind": "event_property_is", "key": "type"},
            "event_property_is has no value that is a string, an integer, a boolean or null",
        ),
        ({"kind": "room_member_count", "is": "two"}, "room_member_count has no number of members"),
        (
            {"kind": "io.element.msc4306.thread_subscription"},
            "io.element.msc4306.thread_subscription has no boolean subscribed",
        ),
    ],
)
def test_a_rule_whose_condition_cannot_be_read_never_matches(condition: Any, problem: str) -> None:
    ruleset = Ruleset.parse({"override": [make_rule(conditions=[condition])], **_REST})

    assert ruleset.judge(with_body("x"), Context(ME)).rule == "underride/rest"
    assert ruleset.problems == (f"'override/mine' never matches: {problem}",)


def test_problems_show_no_control_characters_and_no_end() -> None:
    (problem,) = Ruleset.parse({"override": [make_rule("\x1b[2J" + "x" * 999, conditions=[{}])]}).problems

    assert problem.isprintable()
    assert len(problem) < 200


def test_of_many_problems_the_first_are_told() -> None:
    problems = Ruleset.parse({"override": [None] * 100}).problems

    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == f"and {100 - MAX_PROBLEMS} more problems"


def test_of_too_many_rules_the_first_are_kept() -> None:
    ruleset = Ruleset.parse({"override": [make_rule(conditions=[])] * (MAX_RULES + 1), "content": [make_rule()]})

    assert len(ruleset.rules) == MAX_RULES
    assert ruleset.problems[0] == f"there are more than {MAX_RULES} rules; the later ones are left out"


def test_a_rule_beyond_the_number_of_conditions_is_left_out() -> None:
    many = make_rule("many", conditions=[match("type", "x")] * (MAX_CONDITIONS + 1))

    ruleset = Ruleset.parse({"override": [many], **_REST})

    assert [rule.rule_id for rule in ruleset.rules] == ["rest"]
    assert ruleset.problems == (f"override rule 1 is left out: the rules have more than {MAX_CONDITIONS} conditions",)


def test_rules_beyond_the_length_of_all_patterns_are_left_out_or_never_match() -> None:
    long = [make_rule(f"k{number}", pattern="x" * 1_000) for number in range(MAX_PATTERNS // 1_000)]

    ruleset = Ruleset.parse(
        {
            "content": [*long, make_rule("one more", pattern="x")],
            "underride": [make_rule(conditions=[match("type", "x")])],
        }
    )

    assert len(ruleset.rules) == len(long) + 1
    assert len(ruleset.problems) == 2


_KINDS_OF_CONDITION: list[dict[str, Any]] = [
    match("content.body", "h*o"),
    {"kind": "event_property_is", "key": "content.x", "value": 1},
    {"kind": "event_property_contains", "key": "content.x", "value": 1},
    {"kind": "contains_display_name"},
    {"kind": "room_member_count", "is": "2"},
    {"kind": "sender_notification_permission", "key": "room"},
    {"kind": "org.matrix.msc3931.room_version_supports", "feature": "x"},
    {"kind": "io.element.msc4306.thread_subscription", "subscribed": True},
    {
        "kind": "im.nheko.msc3664.related_event_match",
        "rel_type": "m.in_reply_to",
        "key": "content.body",
        "pattern": "*",
    },
    {"kind": "org.matrix.msc3914.call_started"},
]
_WHOLE: dict[str, Any] = {
    **predefined_rules(ME),
    "postcontent": [make_rule(str(number), conditions=[each]) for number, each in enumerate(_KINDS_OF_CONDITION)],
    "content": [make_rule(pattern="w?rd")],
}
_EVENT = {
    **make_event(state_key="").raw,
    "content": {
        "body": "hello",
        "m.mentions": {"user_ids": [ME], "room": True},
        "x": [1],
        "m.relates_to": {"rel_type": "x"},
    },
    "unsigned": {"prev_content": {"m.terminated": 1}},
}
_CONTEXT: dict[str, Any] = {"power_levels": {"users": {ME: 1}, "users_default": 1, "notifications": {"room": 50}}}


@settings(max_examples=500, deadline=None, derandomize=True)
@given(spoiled(_WHOLE), spoiled(_EVENT), spoiled(_CONTEXT))
def test_nothing_of_any_shape_at_any_depth_raises(rules: Any, event: Any, context: Any) -> None:
    ruleset = Ruleset.parse(rules)
    power_levels = context.get("power_levels") if isinstance(context, dict) else None
    facts = Context(
        ME,
        display_name="hello",
        member_count=2,
        power_levels=power_levels if isinstance(power_levels, dict) else None,
        related={"m.in_reply_to": event},
    )
    event = event if isinstance(event, dict) else {"content": event}

    verdict = ruleset.judge(event, facts)

    assert verdict.rule in {None, *(rule.verdict.rule for rule in ruleset.rules)}
    assert sum(step.has_matched for step in ruleset.trace(event, facts)) == (verdict.rule is not None)
    types = ruleset.event_types(frozenset({"m.room.message"}))
    assert types is None or "m.room.message" in types
