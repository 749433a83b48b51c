"""Waiting before the homeserver is asked again."""

from __future__ import annotations

from heliograph.core.backoff import LAST_DELAY_S, LONGEST_ASKED_S, reconnect_delay


def test_delays_double_from_one_second_to_a_minute() -> None:
    assert [reconnect_delay(failures, 0.5) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert reconnect_delay(10_000, 0.5) == LAST_DELAY_S


def test_jitter_spreads_delays_by_a_quarter_either_way() -> None:
    assert reconnect_delay(3, 0.0) == 3
    assert 4.9 < reconnect_delay(3, 0.99) < 5


def test_what_the_server_asks_for_is_waited_in_full_but_not_forever() -> None:
    assert reconnect_delay(1, 0.5, asked=17) == 17
    assert reconnect_delay(1, 0.5, asked=0) == 1
    assert reconnect_delay(1, 0.5, asked=10**9) == LONGEST_ASKED_S
