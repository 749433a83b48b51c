"""Which seeds are run, and the homeserver that they kill."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from heliograph.demo.homeserver import ThrowawaySynapse
from support.guarded_synapse import GuardedSynapse

SEEDS = 20
LONG_SEEDS = 100


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault_seed" not in metafunc.fixturenames:
        return
    config = metafunc.config
    only: list[int] = config.getoption("seed")
    count = config.getoption("seeds") or (LONG_SEEDS if config.getoption("long") else SEEDS)
    metafunc.parametrize("fault_seed", only or range(count))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sturdy_synapse() -> AsyncIterator[ThrowawaySynapse]:
    """For all seeds of a worker; it is killed now and then, and runs again afterwards."""
    async with GuardedSynapse() as server:
        yield server
