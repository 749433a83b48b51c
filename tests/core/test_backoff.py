"""Waiting before the homeserver is asked again."""

from __future__ import annotations

import itertools

import pytest

from heliograph.core.backoff import LAST_DELAY_S, LONGEST_ASKED_S, reconnect_delay


def test_delays_double_to_eight_seconds_and_grow_slowly_to_a_minute() -> None:
    delays = [reconnect_delay(failures, 0.5) for failures in range(1, 60)]
    assert delays[:6] == [1, 2, 4, 8, 8.5, 8.5 * 1.0625]
    assert delays == sorted(delays)
    assert reconnect_delay(10_000, 0.5) == delays[-1] == LAST_DELAY_S


@pytest.mark.parametrize("minutes", [1, 2, 5])
def test_who_was_down_for_minutes_is_found_within_a_fifth_of_that_and_for_few_requests(minutes: int) -> None:
    asked_s = list(itertools.accumulate(reconnect_delay(failures, 0.5) for failures in range(1, 60)))
    found_s = next(at for at in asked_s if at >= 60 * minutes)
    assert found_s <= 60 * minutes * 1.2
    assert asked_s.index(found_s) < 5 * minutes + 10


def test_jitter_spreads_delays_by_a_quarter_either_way() -> None:
    assert reconnect_delay(3, 0.0) == 3
    assert 4.9 < reconnect_delay(3, 0.99) < 5


def test_what_the_server_asks_for_is_waited_in_full_but_not_forever() -> None:
    assert reconnect_delay(1, 0.5, asked=17) == 17
    assert reconnect_delay(1, 0.5, asked=0) == 1
    assert reconnect_delay(1, 0.5, asked=10**9) == LONGEST_ASKED_S
