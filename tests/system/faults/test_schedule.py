"""A seed says all of what happens."""

from __future__ import annotations

from system.faults.schedule import Act, Fault, draw


def test_the_same_seed_draws_the_same() -> None:
    assert draw(7) == draw(7)
    assert str(draw(7)) == str(draw(7))
    assert draw(7).steps != draw(8).steps


def test_every_act_and_every_fault_is_drawn_among_some_hundred_seeds() -> None:
    drawn = {step.what for seed in range(300) for step in draw(seed).steps}
    assert drawn == {*Act, *Fault}


def test_without_a_relay_nothing_of_it_fails() -> None:
    stock = [draw(seed) for seed in range(0, 200, 2)]
    assert not any(schedule.has_relay or schedule.is_desktop_last for schedule in stock)
    of_relay = {Fault.KILL_RELAY, Fault.RELAY_DISK_FULL, Fault.GATEWAY_FAILS}
    assert not any(step.what in of_relay for schedule in stock for step in schedule.steps)


def test_a_long_run_has_more_of_everything() -> None:
    short, long = draw(7), draw(7, is_long=True)
    assert len(long.steps) > 3 * len(short.steps)
    assert long.steps[-1].at_s > 15
