"""How long a push waits, how often it is tried, and whether it clears anything."""

from __future__ import annotations

import pytest

from edges.relay.stage import NOON
from heliograph.relay.model.hold import LONGEST_HOLD_MS, SOMETHING, clears, due_ms, retry_delay_ms


def test_nobody_is_waited_for_longer_than_a_minute_or_before_the_push_came() -> None:
    assert due_ms(NOON, None) == NOON
    assert due_ms(NOON, NOON + 3000) == NOON + 3000
    assert due_ms(NOON, NOON - 3000) == NOON
    assert due_ms(NOON, NOON + 10**12) == NOON + LONGEST_HOLD_MS


@pytest.mark.parametrize(
    ("failures", "asked_s", "ms"),
    [
        (1, None, 1000),
        (2, None, 2000),
        (12, None, 2048000),
        (13, None, 3600000),
        (10**6, None, 3600000),
        (1, 60.0, 60000),
        (5, 1.0, 16000),
        (1, 1000000000.0, 3600000),
        (0, None, 1000),
    ],
)
def test_delays_double_and_end_at_an_hour(failures: int, asked_s: float | None, ms: int) -> None:
    assert retry_delay_ms(failures, asked_s) == ms


@pytest.mark.parametrize(
    ("shown", "unread", "answer"),
    [
        (None, 0, False),
        (None, 3, False),
        (0, 0, False),
        (2, 0, True),
        (2, 1, True),
        (2, 2, False),
        (2, 3, False),
        (SOMETHING, 0, True),
        (SOMETHING, 9, True),
    ],
)
def test_a_count_clears_what_it_is_less_than(shown: int | None, unread: int, answer: bool) -> None:
    assert clears(shown, unread) is answer
