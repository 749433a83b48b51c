"""JSON that a parser would stop at is mended, and what is nested too deep is cut off."""

from __future__ import annotations

import json

import pytest

from heliograph.core.mending import cut, mend


@pytest.mark.parametrize(
    ("body", "mended"),
    [
        (b'{"a": "\\ud800"}', {"a": "\ufffd"}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": "b\x01c"}', {"a": "b c"}),
        (b'{"a": NaN, "b": -Infinity, "c": "NaN"}', {"a": None, "b": None, "c": "NaN"}),
    ],
    ids=["lone surrogate", "pair", "not UTF-8", "control character", "no number"],
)
def test_what_a_parser_stops_at_is_replaced(body: bytes, mended: object) -> None:
    assert json.loads(mend(body, 5)) == mended


def test_what_is_nested_too_deep_is_cut_off() -> None:
    assert json.loads(cut(b'{"a": [1, {"b": 2}], "c": "[{"}', 2)) == {"a": [1, None], "c": "[{"}


def test_what_is_not_too_deep_stays_as_it_is() -> None:
    body = b'{"a": [1]}'
    assert cut(body, 2) is body


def test_what_breaks_off_is_left_alone() -> None:
    body = b"[" * 10
    assert cut(body, 3) is body
