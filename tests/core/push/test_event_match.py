"""`event_match`: https://spec.matrix.org/v1.17/client-server-api/#conditions-1."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.patterns import MAX_PATTERN, MAX_TEXT
from support.rule_builders import holds, match, with_body, with_content


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("lunc?*", "Lunch plans"),
        ("lunc?*", "LUNCH"),
        ("LUNCH", "lunch"),
        ("lunch", "LuNcH"),
        ("*", ""),
        ("", ""),
        ("a?b", "a😀b"),
        ("[a-z].{2}", "[a-z].{2}"),
        (r"a\*", "a\\ and more"),
    ],
)
def test_a_pattern_matches_the_whole_value_in_any_case(pattern: str, topic: str) -> None:
    assert holds(match("content.topic", pattern), with_content({"topic": topic}))


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("lunc?*", " lunch"),
        ("lunc?*", "lunc"),
        ("lunch", "lunch plans"),
        ("", "a"),
        ("[a-z]", "a"),
        ("a.c", "abc"),
        ("?", ""),
        (r"a\*", "a*"),
    ],
)
def test_a_pattern_does_not_match_a_part_of_a_value(pattern: str, topic: str) -> None:
    assert not holds(match("content.topic", pattern), with_content({"topic": topic}))


@pytest.mark.parametrize("value", [None, True, False, 1, 1.5, 2**70, [], ["a"], {}, {"a": "b"}])
@pytest.mark.parametrize("pattern", ["*", "", "true", "1"])
@pytest.mark.parametrize("key", ["content.body", "content.topic"])
def test_what_is_not_a_string_never_matches(key: str, pattern: str, value: Any) -> None:
    assert not holds(match(key, pattern), with_content({"topic": value, "body": value}))


@pytest.mark.parametrize("pattern", ["*", ""])
@pytest.mark.parametrize("key", ["content.nothing", "state_key", "content.body.x"])
def test_what_is_absent_never_matches(key: str, pattern: str) -> None:
    assert not holds(match(key, pattern), with_body("x"))


@pytest.mark.parametrize(
    ("pattern", "body"),
    [
        ("ex*ple", "An example event."),
        ("ex*ple", "exple"),
        ("ex*ple", "An exciting triple-whammy"),
        ("foo", "foo"),
        ("FOO", "a foo!"),
        ("foo", "x_foo foo"),
        ("foo bar", "a (foo bar)"),
        ("foo*", "a food"),
        ("*oo", "food zoo"),
        ("?oo", "a zoo"),
        ("7", "at 7, then"),
    ],
)
def test_in_a_body_a_pattern_matches_from_word_to_word(pattern: str, body: str) -> None:
    assert holds(match("content.body", pattern), with_body(body))


@pytest.mark.parametrize(
    ("pattern", "body"),
    [("foo", "food"), ("foo", "_foo"), ("foo", "foo7"), ("foo bar", "foo bars"), ("oo*", "foo"), ("?oo", "1zoo")],
)
def test_in_a_body_a_pattern_does_not_match_a_part_of_a_word(pattern: str, body: str) -> None:
    assert not holds(match("content.body", pattern), with_body(body))


@pytest.mark.parametrize(
    ("pattern", "body"), [("foo", "éfoo"), ("honk", "ähonkü"), ("日本", "今日本日"), ("foo", "⚡️foo")]
)
def test_words_end_at_every_letter_that_is_not_ascii(pattern: str, body: str) -> None:
    assert holds(match("content.body", pattern), with_body(body))


@pytest.mark.parametrize(
    ("pattern", "body"), [("@room", "foo@room"), (":)", "hi:)x"), ("foo ", "foo bar"), ("-*", "a-b")]
)
def test_a_pattern_that_begins_or_ends_with_no_word_character_needs_no_other_boundary(pattern: str, body: str) -> None:
    assert holds(match("content.body", pattern), with_body(body))


@pytest.mark.parametrize("body", ["", "anything", "a b"])
def test_an_empty_pattern_matches_every_body(body: str) -> None:
    assert holds(match("content.body", ""), with_body(body))


@pytest.mark.parametrize(("pattern", "body"), [("a*b", "a\nb"), ("*", "a\n"), ("a?b", "a\nb"), ("a*b", "a\u2028b")])
def test_wildcards_match_newlines_too(pattern: str, body: str) -> None:
    assert holds(match("content.body", pattern), with_body(body))
    assert holds(match("content.topic", pattern), with_content({"topic": body}))


@pytest.mark.parametrize("key", ["content.formatted_body", r"content.m\.new_content.body", r"content.\body"])
def test_only_the_very_key_content_body_is_matched_by_words(key: str) -> None:
    content = {"formatted_body": "a foo", "m.new_content": {"body": "a foo"}, r"\body": "a foo"}

    assert not holds(match(key, "foo"), with_content(content))
    assert holds(match(key, "a foo"), with_content(content))


@pytest.mark.parametrize(
    ("pattern", "value", "result"),
    [("s", "ſ", False), ("s*", "ſ", True), ("σ", "ς", False), ("σ*", "ς", True), ("k", "\u212a", True)],
)
def test_case_is_folded_as_synapse_folds_it(pattern: str, value: str, result: bool) -> None:
    assert holds(match("content.topic", pattern), with_content({"topic": value})) is result


def test_the_type_is_matched_in_any_case_too() -> None:
    assert holds(match("type", "m.room.message"), with_body("x", type="M.Room.MESSAGE"))


def test_a_type_may_be_asked_for_twice() -> None:
    assert holds([match("type", "m.room.*"), match("type", "*.message")], with_body("x"))
    assert not holds([match("type", "m.room.*"), match("type", "*.topic")], with_body("x"))


@pytest.mark.parametrize("type_", [None, 1, ["m.room.message"], {}])
def test_a_type_that_is_no_string_never_matches(type_: Any) -> None:
    assert not holds(match("type", "*"), {**with_body("x"), "type": type_})


@pytest.mark.parametrize(
    "condition",
    [
        {"kind": "event_match"},
        {"kind": "event_match", "key": "type"},
        {"kind": "event_match", "pattern": "*"},
        {"kind": "event_match", "key": 1, "pattern": "*"},
        {"kind": "event_match", "key": "type", "pattern": None},
        {"kind": "event_match", "key": "type", "pattern": ["*"]},
    ],
)
def test_without_a_key_and_a_pattern_it_never_matches(condition: dict[str, Any]) -> None:
    assert not holds(condition, with_body("x"))


@pytest.mark.parametrize("pattern", ["a*" * MAX_PATTERN, "a " * MAX_PATTERN])
def test_a_pattern_too_long_to_search_for_never_matches(pattern: str) -> None:
    assert not holds(match("content.body", pattern), with_body(pattern))


@pytest.mark.parametrize("pattern", ["*" * 65_536, "a" * 5_000])
def test_long_patterns_that_need_no_search_match(pattern: str) -> None:
    assert holds(match("content.body", pattern), with_body(pattern.replace("*", "a")))


def test_a_key_of_unreasonable_length_never_matches() -> None:
    assert not holds(match("a" * (MAX_PATTERN + 1), "*"), {**with_body("x"), "a" * (MAX_PATTERN + 1): "x"})


def test_of_a_value_longer_than_any_event_the_beginning_is_matched() -> None:
    body = "foo " + "x" * MAX_TEXT + " bar"

    assert holds(match("content.body", "foo"), with_body(body))
    assert not holds(match("content.body", "bar"), with_body(body))


@pytest.mark.parametrize(
    ("pattern", "result"), [("key word", True), ("word key", False), ("no word", False), ("(:", False)]
)
def test_phrases_are_found_in_long_bodies(pattern: str, result: bool) -> None:
    assert holds(match("content.body", pattern), with_body("lorem ipsum " * 1_000 + "key word")) is result


def test_a_body_of_lone_surrogates_is_only_a_body() -> None:
    assert holds(match("content.body", "*\udfff"), with_body("\ud800 \udfff"))
