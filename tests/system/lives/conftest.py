"""Which lives are lived, and what they share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.guarded_synapse import GuardedSynapse
from system.lives.bridge import register
from system.lives.nursery import Nursery
from system.lives.play import Stage
from system.lives.step import Mode
from system.relay_process import RelayProcess

SEEDS = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """So many seeds in the chosen modes; or a dozen, over all modes in turn."""
    if "life_seed" not in metafunc.fixturenames:
        return
    config = metafunc.config
    wanted: list[str] = config.getoption("mode")
    modes = list(Mode) if "all" in wanted else [Mode(each) for each in wanted]
    seeds: list[int] = config.getoption("seed") or list(range(config.getoption("seeds") or SEEDS))
    everything = list(Mode)
    lives = [(seed, mode) for seed in seeds for mode in modes] or [
        (seed, everything[seed % len(everything)]) for seed in seeds
    ]
    metafunc.parametrize(("life_seed", "mode"), lives, ids=[f"{seed}-{mode}" for seed, mode in lives])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def life_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One homeserver and one relay for all lives of a worker, who are strangers to each other."""
    folder = tmp_path_factory.mktemp("lives")
    with Nursery() as nursery:
        async with (
            GuardedSynapse(settings=register(folder)) as server,
            RelayProcess(server.base_url, folder / "relay") as relay,
        ):
            yield Stage(server, relay, folder, nursery)
