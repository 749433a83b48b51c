"""The short version of `tests/fuzz/run`: the same every time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_in_is_taken_or_refused(name: str) -> None:
    target = TARGETS[name]

    @given(target.inputs)
    @settings(max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def attack(thing: Any) -> None:
        target.attack(thing)

    attack()
