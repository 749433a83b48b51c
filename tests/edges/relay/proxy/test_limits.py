"""How much one address may ask of the relay."""

from __future__ import annotations

from edges.relay.stage import NOON
from heliograph.relay.proxy.limits import Allowance


def test_an_address_has_its_burst_and_then_its_rate() -> None:
    allowance = Allowance(per_second=2, burst=3)
    assert [allowance.take("1.1.1.1", NOON) for _ in range(3)] == [0, 0, 0]
    assert allowance.take("1.1.1.1", NOON) == 0.5
    assert allowance.take("2.2.2.2", NOON) == 0
    assert allowance.take("1.1.1.1", NOON + 500) == 0
    assert allowance.take("1.1.1.1", NOON + 500) == 0.5


def test_the_addresses_of_one_network_are_one() -> None:
    allowance = Allowance(per_second=1, burst=1)
    assert allowance.take("2606:4700::1", NOON) == 0
    assert allowance.take("2606:4700::2", NOON) > 0
    assert allowance.take("2606:4700:0:1::1", NOON) == 0
    assert allowance.take("1.1.1.1", NOON) == 0
    assert allowance.take("::ffff:1.1.1.1", NOON) > 0


def test_so_many_addresses_are_remembered() -> None:
    allowance = Allowance(per_second=1, burst=1, most_addresses=2)
    for address in ("1.1.1.1", "2.2.2.2", "3.3.3.3"):
        allowance.take(address, NOON)
    assert allowance.take("3.3.3.3", NOON) > 0
    assert allowance.take("1.1.1.1", NOON) == 0


def test_a_clock_that_was_set_back_gives_and_takes_nothing() -> None:
    allowance = Allowance(per_second=1, burst=1)
    allowance.take(None, NOON)
    assert allowance.take(None, NOON - 10_000) == 1
    assert allowance.take(None, NOON - 9_000) == 0
