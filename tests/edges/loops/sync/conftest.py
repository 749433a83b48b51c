"""The stage of the tests beside this file, where they have none of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.watched import WatchedHomeserver
from heliograph.core.ids import RoomId


@pytest.fixture
def homeserver() -> WatchedHomeserver:
    return WatchedHomeserver()


@pytest.fixture
def stage(clock: WallClock, homeserver: WatchedHomeserver) -> SyncStage:
    return SyncStage(clock, homeserver=homeserver)


@pytest.fixture
async def room(stage: SyncStage) -> RoomId:
    """A room of Alice and the user, from before the loop starts."""
    return await stage.room()


@pytest.fixture
async def polling(stage: SyncStage, room: RoomId) -> AsyncIterator[SyncStage]:
    """The stage while its loop runs, from the first poll on."""
    async with running(stage.loop):
        await stage.connected()
        yield stage
