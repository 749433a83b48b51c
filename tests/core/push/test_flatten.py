"""Dot-separated property paths: https://spec.matrix.org/v1.17/appendices/#dot-separated-property-paths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.push.flatten import MISSING, parse_key, value_at


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("type", ("type",)),
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"content.m\\foo", ("content", r"m\foo")),
        (r"content.m\\.foo", ("content", "m\\", "foo")),
        (r"content.m\\\.foo", ("content", r"m\.foo")),
        ("", ("",)),
        (".", ("", "")),
        ("a..b", ("a", "", "b")),
        ("a.", ("a", "")),
        (r"\.", (".",)),
    ],
)
def test_a_key_is_split_at_its_unescaped_dots(key: str, path: tuple[str, ...]) -> None:
    assert parse_key(key) == path


@pytest.mark.parametrize(("key", "path"), [(r"m\xa", (r"m\xa",)), ("a\\", ("a\\",)), ("a\\\nb.c", ("a\\\nb", "c"))])
def test_other_backslashes_stand_for_themselves(key: str, path: tuple[str, ...]) -> None:
    assert parse_key(key) == path


@given(st.lists(st.text(st.sampled_from("a.\\x\n")), min_size=1))
def test_escaped_names_come_back_whole(names: list[str]) -> None:
    key = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)

    assert parse_key(key) == tuple(names)


@pytest.mark.parametrize(
    ("event", "value"),
    [
        ({"a": {"b": 1}}, 1),
        ({"a": {"b": None}}, None),
        ({"a": {"b": {}}}, {}),
        ({"a": {}}, MISSING),
        ({}, MISSING),
        ({"a": None}, MISSING),
        ({"a": "b"}, MISSING),
        ({"a": [{"b": 1}]}, MISSING),
        ({"a.b": 1}, MISSING),
    ],
)
def test_a_value_is_found_through_objects_only(event: dict[str, Any], value: Any) -> None:
    assert value_at(event, ("a", "b")) == value


@pytest.mark.parametrize("name", ["0", "-1", "length", "__class__"])
def test_arrays_cannot_be_indexed(name: str) -> None:
    assert value_at({"a": ["x"]}, ("a", name)) is MISSING
