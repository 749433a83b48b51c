"""The stage of the tests beside this file, where they have none of their own."""

from __future__ import annotations

import pytest

from edges.loops.stage import DeliveryStage, WallClock


@pytest.fixture
def stage(clock: WallClock) -> DeliveryStage:
    return DeliveryStage(clock)
