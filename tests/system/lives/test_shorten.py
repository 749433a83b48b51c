"""A life that fails is shortened to the steps that it needs for that."""

from __future__ import annotations

import pytest

from system.lives.shorten import Places, shorten


class Trial:
    """Fails with all of these steps. Counts how often it was asked."""

    def __init__(self, *needed: int) -> None:
        self.needed = set(needed)
        self.asked = 0

    async def fails(self, places: Places) -> bool:
        self.asked += 1
        return self.needed <= set(places)


@pytest.mark.parametrize("needed", [(5,), (0, 19), (3, 4, 5), (1, 7, 13, 19)])
async def test_what_is_left_is_what_is_needed(needed: tuple[int, ...]) -> None:
    trial = Trial(*needed)
    assert await shorten(tuple(range(20)), trial.fails, 200) == needed


async def test_it_ends_when_the_tries_are_over() -> None:
    trial = Trial(2, 9, 17)
    left = await shorten(tuple(range(20)), trial.fails, 5)
    assert trial.asked == 5
    assert trial.needed <= set(left)


async def test_a_life_of_one_step_is_as_short_as_it_gets() -> None:
    trial = Trial(4)
    assert await shorten((4,), trial.fails, 10) == (4,)
    assert trial.asked == 0
