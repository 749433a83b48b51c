"""A line that strangers cause again and again."""

from __future__ import annotations

import logging

from heliograph.system.log_floods import WINDOW_S, FloodFilter


def record_at(seconds: float, lineno: int = 1) -> logging.LogRecord:
    record = logging.LogRecord("x", logging.INFO, "x.py", lineno, "%s is wrong", ("this",), None)
    record.created = 1_000_000 + seconds
    return record


def test_a_line_is_written_so_often_a_minute_and_then_says_how_often_it_was_not() -> None:
    flood = FloodFilter(most=3)
    records = [record_at(number / 10) for number in range(10)]
    assert [flood.filter(record) for record in records] == [True] * 3 + [False] * 7
    assert flood.filter(record_at(5, lineno=2))
    late = record_at(WINDOW_S)
    assert flood.filter(late)
    assert late.getMessage() == "this is wrong (7 more like this were left out)"
    later = record_at(WINDOW_S + 1)
    assert flood.filter(later)
    assert later.getMessage() == "this is wrong"
    # A clock that was set back silences nothing for long.
    assert flood.filter(record_at(-1_000))
