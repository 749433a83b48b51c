"""How often the same wrong thing may be asked of the relay, and by which name addresses are counted."""

from __future__ import annotations

import pytest

from edges.relay.stage import NOON
from heliograph.relay.proxy.limits import AT_ONCE, LAST_WAIT_MS, Allowance, Refusals, group_of


def test_a_key_has_its_burst_and_then_its_rate() -> None:
    allowance = Allowance(per_second=2, burst=3)
    assert [allowance.take("one", NOON) for _ in range(3)] == [0, 0, 0]
    assert allowance.take("one", NOON) == 0.5
    assert allowance.take("another", NOON) == 0
    assert allowance.take("one", NOON + 500) == 0
    assert allowance.take("one", NOON + 500) == 0.5


def test_so_many_keys_are_remembered() -> None:
    allowance = Allowance(per_second=1, burst=1, most_keys=2)
    for key in ("one", "two", "three"):
        allowance.take(key, NOON)
    assert allowance.take("three", NOON) > 0
    assert allowance.take("one", NOON) == 0


def test_a_token_that_is_refused_waits_ever_longer_and_a_minute_at_most() -> None:
    refusals = Refusals()
    for _ in range(AT_ONCE - 1):
        refusals.note(b"wrong", NOON)
        assert not refusals.is_waiting(b"wrong", NOON)
    for wait_ms in (1_000, 2_000, 4_000):
        refusals.note(b"wrong", NOON)
        assert refusals.is_waiting(b"wrong", NOON + wait_ms - 1)
        assert not refusals.is_waiting(b"wrong", NOON + wait_ms)
    for _ in range(40):
        refusals.note(b"wrong", NOON)
    assert refusals.is_waiting(b"wrong", NOON + LAST_WAIT_MS - 1)
    assert not refusals.is_waiting(b"wrong", NOON + LAST_WAIT_MS)
    # Neither does a clock that was set back add to that.
    assert not refusals.is_waiting(b"wrong", NOON - 1)


def test_another_token_does_not_wait_and_one_that_turns_out_good_no_more() -> None:
    refusals = Refusals(most_keys=2)
    for _ in range(AT_ONCE):
        refusals.note(b"wrong", NOON)
    assert not refusals.is_waiting(b"another", NOON)
    refusals.forget(b"wrong")
    assert not refusals.is_waiting(b"wrong", NOON)
    for key in (b"1", b"2", b"3"):
        for _ in range(AT_ONCE):
            refusals.note(key, NOON)
    assert [refusals.is_waiting(key, NOON) for key in (b"1", b"2", b"3")] == [False, True, True]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2606:4700::1", "2606:4700::2", True),
        ("2606:4700::1", "2606:4700:0:1::1", False),
        ("1.1.1.1", "::ffff:1.1.1.1", True),
        ("1.1.1.1", "1.1.1.2", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("no address", "1.1.1.1", False),
    ],
)
def test_the_addresses_of_one_customer_are_one(one: str, other: str, is_same: bool) -> None:
    assert (group_of(one) == group_of(other)) is is_same


def test_a_clock_that_was_set_back_gives_and_takes_nothing() -> None:
    allowance = Allowance(per_second=1, burst=1)
    allowance.take("one", NOON)
    assert allowance.take("one", NOON - 10_000) == 1
    assert allowance.take("one", NOON - 9_000) == 0
