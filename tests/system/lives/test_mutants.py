"""Daemons that are broken on purpose are caught by lives, or lives would prove nothing.

tests/system/lives/run-mutants --seeds 100      tells within how many lives each is caught
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from system.lives.draw import draw
from system.lives.mutants import MUTANTS
from system.lives.oracle import describe
from system.lives.play import Stage, play
from system.lives.step import Mode

CAUGHT_BY: Mapping[str, Sequence[int]] = {
    "old filter": (1, 2, 3),
    "token first": (3, 2, 5, 8, 17, 37),
    "front desk dies": (0, 1),
    "delivery loop dies": (0, 1),
    "receipts are forgotten": (4, 5),
    "redactions are forgotten": (13, 14),
    "rings again after a start": (0, 1),
}
"""Seeds whose lives catch the mutant. What is caught by a kill in time may need several."""


@pytest.mark.timeout(3600)
@pytest.mark.expected_log("", times=(0, None))
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_broken_daemon_is_caught(mutant: str, life_stage: Stage, request: pytest.FixtureRequest) -> None:
    count: int | None = request.config.getoption("seeds")
    modes = [Mode(each) for each in request.config.getoption("mode")] or [Mode.LOCAL_PLAIN]
    seeds = CAUGHT_BY[mutant] if count is None else range(count)
    for number, seed in enumerate(seeds, 1):
        for mode in modes:
            lived = await play(replace(life_stage, words=(mutant,)), draw(seed, mode))
            if lived.violations:
                print(f"{mutant}: caught in life {number}, seed {seed}, {mode}, step {lived.steps}")
                print(describe(lived.violations[:3]))
                return
    pytest.fail(f"{mutant}: not caught in {len(seeds)} lives")
