from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.encryption.canonical import canonical_json, without_signatures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"one": 1, "two": "Two"}, '{"one":1,"two":"Two"}'),
        ({"b": "2", "a": "1"}, '{"a":"1","b":"2"}'),
        ({"a": "日本語"}, '{"a":"日本語"}'),
        ({"本": 2, "日": 1}, '{"日":1,"本":2}'),
        ({"a": None, "b": [True, {"d": 1, "c": ("x",)}]}, '{"a":null,"b":[true,{"c":["x"],"d":1}]}'),
        ({"a": '"\\\n\x7f/'}, '{"a":"\\"\\\\\\n\x7f/"}'),
    ],
)
def test_an_object_has_one_form(value: dict[str, Any], text: str) -> None:
    assert canonical_json(value).decode() == text


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value", [{"a": 0.5}, {"a": [{"b": 1.0}]}, {"a": float("nan")}, {"a": "\ud800"}, {"a": {1}}, nested(100_000)]
)
def test_what_has_no_canonical_form_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        canonical_json(value)


def test_signatures_are_not_signed() -> None:
    assert without_signatures({"a": 1, "signatures": {}, "unsigned": {}}) == {"a": 1}
