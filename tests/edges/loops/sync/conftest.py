"""The stage of the tests beside this file, where they have none of their own."""

from __future__ import annotations

import pytest

from edges.loops.stage import SyncStage, WallClock
from edges.loops.sync.watched import WatchedHomeserver


@pytest.fixture
def homeserver() -> WatchedHomeserver:
    return WatchedHomeserver()


@pytest.fixture
def stage(clock: WallClock, homeserver: WatchedHomeserver) -> SyncStage:
    return SyncStage(clock, homeserver=homeserver)
