"""`event_property_contains`: MSC3966."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.patterns import WORK
from support.builders import ME
from support.rule_builders import holds, with_content


def _contains(value: Any) -> dict[str, Any]:
    return {"kind": "event_property_contains", "key": "content.x", "value": value}


@pytest.mark.parametrize(
    ("value", "seen"),
    [(ME, [ME]), (ME, [1, None, {}, [], ME]), (1, [True, 1.0, 1]), (True, [1, True]), (None, [None]), ("", [""])],
)
def test_an_array_that_has_the_value_matches(value: Any, seen: list[Any]) -> None:
    assert holds(_contains(value), with_content({"x": seen}))


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (ME, []),
        (ME, [ME.upper()]),
        (ME, [[ME]]),
        (ME, [{"user_id": ME}]),
        (":example.org", [ME]),
        (1, [True, 1.0, "1"]),
        (True, [1, "true"]),
        (0, [False, None, ""]),
        (None, [0, False, ""]),
    ],
)
def test_an_array_without_the_very_value_does_not_match(value: Any, seen: list[Any]) -> None:
    assert not holds(_contains(value), with_content({"x": seen}))


@pytest.mark.parametrize("seen", [ME, f"hello {ME}", {ME: ME}, None, 1])
def test_what_is_not_an_array_does_not_match(seen: Any) -> None:
    assert not holds(_contains(ME), with_content({"x": seen}))


def test_what_is_absent_does_not_match() -> None:
    assert not holds(_contains(None), with_content({}))


@pytest.mark.parametrize("condition", [{"key": "content.x"}, {"value": 1}, {"key": "content.x", "value": [1]}])
def test_without_a_key_and_a_simple_value_it_never_matches(condition: dict[str, Any]) -> None:
    assert not holds({"kind": "event_property_contains", **condition}, with_content({"x": [None, 1, [1]]}))


def test_an_array_too_large_for_any_event_is_not_searched() -> None:
    assert not holds(_contains(ME), with_content({"x": [ME] * WORK}))


def test_of_a_list_that_is_too_long_to_look_at_nothing_is_said_to_be_contained() -> None:
    condition = {"kind": "event_property_contains", "key": "content.x", "value": 1}

    assert holds(condition, with_content({"x": [True] * 10_000 + [1]}))
    assert not holds(condition, with_content({"x": [True] * 60_000 + [1]}))
