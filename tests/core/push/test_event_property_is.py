"""`event_property_is`: MSC3758."""

from __future__ import annotations

from typing import Any

import pytest

from support.rule_builders import holds, with_content

_SCALARS = ["m.replace", "", 0, 1, -1, 2**53 - 1, -(2**53) + 1, True, False, None]


def _is(value: Any, key: str = "content.x") -> dict[str, Any]:
    return {"kind": "event_property_is", "key": key, "value": value}


@pytest.mark.parametrize("value", _SCALARS)
def test_a_value_matches_itself_and_no_other(value: Any) -> None:
    matched = [other for other in _SCALARS if holds(_is(value), with_content({"x": other}))]

    assert [(type(other), other) for other in matched] == [(type(value), value)]


@pytest.mark.parametrize(
    ("value", "seen"), [(1, 1.0), (1, True), (0, False), (True, 1), ("a", "A"), ("1", 1), (1, "1")]
)
def test_types_and_case_must_be_the_same(value: Any, seen: Any) -> None:
    assert not holds(_is(value), with_content({"x": seen}))


@pytest.mark.parametrize("value", _SCALARS)
def test_what_is_absent_never_matches_not_even_null(value: Any) -> None:
    assert not holds(_is(value), with_content({}))


@pytest.mark.parametrize("value", [1.5, 1.0, 2**53, -(2**53), 2**70, [], {}, ["a"]])
def test_a_value_of_another_kind_never_matches(value: Any) -> None:
    assert not holds(_is(value), with_content({"x": value}))


@pytest.mark.parametrize("key", [None, 1, ["content", "x"]])
def test_without_a_key_it_never_matches(key: Any) -> None:
    assert not holds({**_is(1), "key": key}, with_content({"x": 1}))


def test_without_a_value_it_never_matches() -> None:
    assert not holds({"kind": "event_property_is", "key": "content.x"}, with_content({"x": None}))


def test_keys_are_read_with_their_escapes() -> None:
    content = {"m.relates_to": {"rel_type": "m.replace"}}

    assert holds(_is("m.replace", r"content.m\.relates_to.rel_type"), with_content(content))
    assert not holds(_is("m.replace", "content.m.relates_to.rel_type"), with_content(content))


def test_a_needless_backslash_stands_for_itself() -> None:
    assert holds(_is(1, r"content.m\example"), with_content({r"m\example": 1}))
