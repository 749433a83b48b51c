"""Seeded walks through whole lives on a real Synapse: after each step, what rings is what the homeserver says.

pytest tests/system/lives                                  12 lives, in all modes in turn
tests/system/lives/run --seeds 300 --mode direct-plain     as many in this mode, several side by side
tests/system/lives/run --seed 17 --mode local-plain        this one
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from support.log_guard import ExpectLog
from system.lives.draw import draw
from system.lives.oracle import describe
from system.lives.play import OF_A_RESTART, Lived, Stage, play
from system.lives.shorten import Places, shorten
from system.lives.step import Kind, Life, Mode

TRIES = 40
"""How often a life that fails is lived again to shorten it."""


@pytest.mark.timeout(900)
@pytest.mark.expected_log(rf"^daemon warning: [^\n]*({OF_A_RESTART})[^\n]*$", times=(0, None))
async def test_in_a_whole_life_all_that_should_ring_rings_once(
    life_seed: int, mode: Mode, life_stage: Stage, request: pytest.FixtureRequest, expect_log: ExpectLog
) -> None:
    life = draw(life_seed, mode)
    if any(step.kind is Kind.IGNORE for step in life.steps):
        # Synapse shows nothing any more of what an ignored user wrote: neither can it be read, nor name a thread.
        expect_log(r"^homeserver 403 POST \S+/read_markers of", times=(0, None))
        expect_log(r"^homeserver 404 GET \S+/rooms/[^/]+/event/\S+ of", times=(0, None))
    if kept := request.config.getoption("keep"):
        life = life.keep(tuple(int(place) for place in kept.split(",")))
    lived = await play(life_stage, life)
    if (record := request.config.getoption("record")) is not None:
        await asyncio.to_thread(_write_down, record, life, lived)
    print(*lived.story, sep="\n")
    print(f"{lived.steps} steps in {lived.seconds:.1f} s")
    if lived.violations:
        tries = 0 if request.config.getoption("no_shorten") else TRIES
        pytest.fail(await _explain(life_stage, life, lived, tries), pytrace=False)


def _write_down(record: Path, life: Life, lived: Lived) -> None:
    line = {
        "seed": life.seed,
        "mode": life.mode,
        "steps": lived.steps,
        "seconds": round(lived.seconds, 2),
        "violations": list(map(str, lived.violations)),
        "story": lived.story if lived.violations else [],
    }
    with record.open("a") as lines:
        lines.write(json.dumps(line) + "\n")


async def _explain(stage: Stage, life: Life, lived: Lived, tries: int) -> str:
    """What is wrong, and the shortest life that is found in which it still is."""

    async def fails(places: Places) -> bool:
        nonlocal lived
        again = await play(stage, life.keep(places))
        if not again.faults & lived.faults:
            return False
        lived = again
        return True

    kept = life.keep(await shorten(life.kept[: lived.steps], fails, tries)) if tries else life
    story = "\n".join(lived.story)
    return f"{describe(lived.violations)}\nLive it again: {kept.command}\n{kept}\n{story}"
