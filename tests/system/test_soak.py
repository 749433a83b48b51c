"""Two hours of the daemon in some seconds, as `tests/soak/run` plays a day: nothing is lost, and nothing piles up."""

from __future__ import annotations

from pathlib import Path
from secrets import randbits

from soak.day import SHORT, open_day
from soak.sample import growth, leaks, write_samples
from support.buses import PrivateBus

_MOST_GROWTH = 1.25
"""Of RSS. Generous: it depends on the machine, and after so short a time caches still fill."""


async def test_hours_with_suspends_and_restarts_lose_nothing_and_leave_nothing_behind(
    private_bus: PrivateBus, tmp_path: Path
) -> None:
    seed = randbits(32)
    print(f"seed {seed}")
    async with open_day(SHORT, tmp_path / "home", private_bus.address, seed) as day:
        result = await day.play()
    print(write_samples([*result.samples, result.pruned]))

    assert result.lost == []
    assert leaks(result.samples, result.pruned, open_deliveries=result.open_deliveries, rooms=result.rooms) == []
    assert result.samples[-1].rows["judged"] == result.samples[-1].events == SHORT.events
    assert result.let_sleep == result.suspends
    assert growth(result.samples) < _MOST_GROWTH
