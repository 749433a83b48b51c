"""The loops run in virtual time, over fakes at the ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from edges.loops.stage import WallClock
from support.virtual_time import LeapingLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual-time": LeapingLoop}


@pytest.fixture
def clock() -> WallClock:
    return WallClock()
