"""When a token is renewed, and how long a poll may be that it serves."""

from __future__ import annotations

import itertools

import pytest

from heliograph.core.oauth.token_life import (
    FIRST_REFUSALS,
    age_by_wall_clock,
    handoff_left,
    longest_poll,
    renewal_age,
    suffices,
    wait_after_refusals,
)

JITTERS = (0.0, 0.5, 0.999)


@pytest.mark.parametrize("life_s", [2.0, 12.0, 60.0, 179.0, 180.0, 200.0, 300.0, 86_400.0])
def test_a_token_is_renewed_at_half_of_its_life_and_early_enough_where_the_life_allows(life_s: float) -> None:
    for jitter in JITTERS:
        age = renewal_age(life_s, jitter)
        assert 0.5 * life_s <= age <= 0.6 * life_s
        assert life_s < 180 or life_s - age >= 90
        # Or whoever asks for a new one then would be told that the old one is good enough.
        assert not suffices(life_s - age, life_s, life_s)


def test_devices_of_one_server_do_not_renew_all_at_once() -> None:
    assert len({renewal_age(300, jitter) for jitter in JITTERS}) == 3


@pytest.mark.parametrize("life_s", [4.0, 12.0, 60.0, 300.0])
def test_no_poll_outlives_its_token_by_more_than_the_shortest(life_s: float) -> None:
    for left_s in (0.0, 0.5, life_s / 4, life_s / 2, life_s):
        poll_s = longest_poll(50, left_s, life_s)
        assert 1 <= poll_s <= 50
        assert poll_s == 1 or poll_s <= left_s - min(15, life_s / 4)
    assert longest_poll(50, 300, 300) == 50
    assert longest_poll(120, 60, 300) == 45
    assert longest_poll(10, 12, 12) == 9


def test_who_needs_a_minute_gets_one_or_a_token_in_the_first_half_of_its_life() -> None:
    assert suffices(61, 300, 60)
    assert not suffices(60, 300, 60)
    assert suffices(7, 12, 60)
    assert not suffices(6, 12, 60)
    assert suffices(0.1, 300, 0)
    assert not suffices(0, 300, 0)


def test_a_handoff_has_a_minute_or_a_quarter_of_a_short_life_and_leaves_the_renewal_its_time() -> None:
    assert handoff_left(300) == 60
    assert handoff_left(12) == 3
    for life_s in (2.0, 60.0, 180.0, 300.0, 86_400.0):
        assert all(renewal_age(life_s, each) < life_s - handoff_left(life_s) for each in JITTERS)


def test_the_age_of_another_process_token_is_by_the_wall_clock() -> None:
    assert age_by_wall_clock(1_090_000, 1_000_000, 300) == 90
    # From the future: the clock was set.
    assert age_by_wall_clock(999_999, 1_000_000, 300) == 300


def test_a_lock_of_ten_minutes_costs_ten_renewals() -> None:
    times = [0.0, *itertools.accumulate(wait_after_refusals(count) for count in range(1, 30))]
    assert sum(time <= 600 for time in times) == FIRST_REFUSALS
    # Until then the unlocking is noticed within a minute, and later the question becomes rare.
    assert max(later - sooner for sooner, later in itertools.pairwise(times[: FIRST_REFUSALS + 1])) <= 61
    steps = [wait_after_refusals(count) for count in range(1, 30)]
    assert steps == sorted(steps)
    assert steps[-1] == 600
