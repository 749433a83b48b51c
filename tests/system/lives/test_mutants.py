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

_TRIED = range(20)
CAUGHT_BY: Mapping[str, Sequence[int]] = {
    "token first": (12, 29, 34, 36, 38, 52, 53, 57, 69, 72, 82, 101),
    "quiet loop dies": (4, 15, 21, 25, 28, 39, 41, 44),
    "late keys are forgotten": (3, 16, 23, 28, 35, 39),
    "calls ring on": (0, 10, 12, 18, 21, 25),
    "quiet holds nothing back": (4, 15, 21, 25, 28, 39, 41, 44),
}
"""Seeds of lives that have what it takes to catch the mutant, which chance seldom makes. Others are caught by the first
few. What is caught by a kill in time may need several."""
IN_MODE: Mapping[str, Mode] = {"late keys are forgotten": Mode.LOCAL_ENCRYPTED}
"""Instead of in the simplest one."""


@pytest.mark.timeout(3600)
@pytest.mark.expected_log("", times=(0, None))
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_broken_daemon_is_caught(mutant: str, life_stage: Stage, request: pytest.FixtureRequest) -> None:
    count: int | None = request.config.getoption("seeds")
    wanted: list[str] = request.config.getoption("mode")
    modes = [Mode(each) for each in wanted] or [IN_MODE.get(mutant, Mode.LOCAL_PLAIN)]
    seeds = CAUGHT_BY.get(mutant, _TRIED) if count is None else range(count)
    for number, seed in enumerate(seeds, 1):
        for mode in modes:
            lived = await play(replace(life_stage, words=(mutant,)), draw(seed, mode))
            if lived.violations:
                print(f"{mutant}: caught in life {number}, seed {seed}, {mode}, step {lived.steps}")
                print(describe(lived.violations[:3]))
                return
    pytest.fail(f"{mutant}: not caught in {len(seeds)} lives")
