"""Time takes no time for tests marked `virtual_time`. The others run the whole program, with real parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from edges.loops.stage import WallClock
from support.virtual_time import LeapingLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual-time": LeapingLoop}
    return {"real-time": asyncio.new_event_loop}


@pytest.fixture
def clock() -> WallClock:
    return WallClock()
