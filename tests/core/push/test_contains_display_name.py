"""`contains_display_name`, deprecated since 1.17 and still served."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.patterns import MAX_PATTERN, WORK
from support.rule_builders import holds, judge, make_rule, match, with_body

_CONDITION = {"kind": "contains_display_name"}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Ann", "hi ann!"),
        ("ann lee", "Ann Lee?"),
        ("Änne", "ÄNNE"),
        ("@Ann", "hi@ann"),
        ("a*b", "A*B"),
        ("日本", "今日本日"),
    ],
)
def test_the_own_name_in_the_room_is_found_as_words_in_any_case(name: str, body: str) -> None:
    assert holds(_CONDITION, with_body(body), display_name=name)


@pytest.mark.parametrize(("name", "body"), [("Ann", "Anna"), ("Ann Lee", "Ann"), ("Ann", "")])
def test_a_part_of_a_word_is_not_the_name(name: str, body: str) -> None:
    assert not holds(_CONDITION, with_body(body), display_name=name)


@pytest.mark.parametrize(("name", "body"), [("*", "anything"), ("f?o", "foo"), ("b*b", "bob"), (".*", "x")])
def test_a_name_has_no_wildcards(name: str, body: str) -> None:
    assert not holds(_CONDITION, with_body(body), display_name=name)


@pytest.mark.parametrize("name", [None, ""])
def test_no_name_is_never_found(name: str | None) -> None:
    assert not holds(_CONDITION, with_body("hi @me:example.org"), display_name=name)


@pytest.mark.parametrize("body", [None, 1, {"foo": 1}, ["Ann"]])
def test_a_body_that_is_no_string_has_no_name(body: Any) -> None:
    assert not holds(_CONDITION, with_body(body), display_name="Ann")


def test_a_name_of_unreasonable_length_is_never_found() -> None:
    name = "Ann " * MAX_PATTERN

    assert not holds(_CONDITION, with_body(name), display_name=name)


def test_a_name_is_not_sought_when_no_work_is_left() -> None:
    wasteful = {"kind": "event_property_contains", "key": "content.x", "value": 1}
    rules = [make_rule("wasteful", conditions=[wasteful]), make_rule(conditions=[_CONDITION])]
    event = with_body("Ann")
    event["content"]["x"] = [0] * WORK

    assert judge({"override": rules[1:]}, event, display_name="Ann").notify
    assert not judge({"override": rules}, event, display_name="Ann").notify


def test_each_rule_that_asks_gets_the_same_answer() -> None:
    other = match("content.body", "nothing of this")
    rules = [make_rule("first", conditions=[_CONDITION, other]), make_rule("second", conditions=[_CONDITION])]

    assert judge({"override": rules}, with_body("hi Ann"), display_name="Ann").rule == "override/second"
    assert judge({"override": rules}, with_body("hi Bob"), display_name="Ann").rule is None
