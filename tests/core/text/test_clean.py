"""Text from strangers is made fit to be shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.text.clean import MAX_INDENTATION, clean_line, clean_text, count_things
from heliograph.core.text.cutting import ELLIPSIS


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  Alice \t\n Smith ", "Alice Smith"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\x00b\x9bc", "abc"),
        ("\u202eevil\u2066", "evil"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("a\u2028b\x85c\r\nd", "a b c d"),
        ("z" + "\u0301" * 50, "z" + "\u0301" * 4),
        ("", ""),
        ("\u202e\u200b", ""),
    ],
)
def test_a_line_keeps_what_can_be_read_and_nothing_else(text: str, line: str) -> None:
    assert clean_line(text, 100) == line


def test_a_long_line_ends_in_an_ellipsis_within_its_limit() -> None:
    assert clean_line("word " * 100, 12) == "word word" + ELLIPSIS


def test_a_megabyte_costs_no_more_than_its_beginning() -> None:
    assert clean_line("x" * 1_000_000, 10) == "x" * 9 + ELLIPSIS


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("one\ntwo", "one\ntwo"),
        ("\n\n one  \n\n\n\n two\t\tthree \n\n", "one\n\ntwo three"),
        ("\n".join("abcdefghijkl"), "\n".join("abcdefghi") + "\nj" + ELLIPSIS),
        ("\n \n", ""),
        ("if x:\n    y\n\tz", "if x:\n    y\n    z"),
        ("    if x:\n\n        y  =  1", "if x:\n\n    y = 1"),
        ("a\n" + " " * 1000 + "b", "a\n" + " " * MAX_INDENTATION + "b"),
        ("  a\n    b" + "c" * 300 + "\nd", "a\n  b" + "c" * 190 + ELLIPSIS),
        ("  a\n" * 5 + "    b\n" * 6 + "c", "a\n" * 5 + "  b\n" * 4 + "  b" + ELLIPSIS),
    ],
)
def test_a_text_keeps_its_lines_within_bounds(text: str, cleaned: str) -> None:
    assert clean_text(text, 200) == cleaned


@given(st.text(st.characters(), max_size=300), st.integers(2, 60))
def test_nothing_unfit_or_overlong_comes_through(text: str, limit: int) -> None:
    for cleaned in (clean_line(text, limit), clean_text(text, limit, lines=3)):
        assert len(cleaned) <= limit
        assert cleaned.count("\n") <= 2
        cleaned.encode()
        assert not any(unicodedata.category(c) == "Cc" for c in cleaned.replace("\n", ""))
        assert clean_text(cleaned, limit, lines=3) == cleaned


def test_one_thing_is_not_counted_as_several() -> None:
    assert [count_things(number, "account") for number in (0, 1, 2)] == ["0 accounts", "1 account", "2 accounts"]
    assert count_things(2, "delivery waits", "deliveries wait") == "2 deliveries wait"
