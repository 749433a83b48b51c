"""Times on the wall clock, wherever the machine is."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

from heliograph.core.popups.quiet import word_until
from heliograph.system.time_zone import LocalZone

MOMENT = 1_750_086_000_000
"""2025-06-16, 15:00 UTC."""
MIDNIGHT = datetime.datetime(2025, 6, 17, 0, 0)  # noqa: DTZ001 - a clock on the wall has no zone


def test_a_change_of_the_time_zone_is_followed(
    set_time_zone: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_time_zone("Europe/Berlin")
    local = LocalZone()
    assert local.wall(MOMENT) == MIDNIGHT - datetime.timedelta(hours=7)
    # As a change of /etc/localtime: nobody calls tzset for us.
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert local.wall(MOMENT) == MIDNIGHT
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert local.instant(MIDNIGHT) == MOMENT + 7 * 3_600_000


def test_the_times_of_a_bar_follow_as_well(
    set_time_zone: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_time_zone("Europe/Berlin")
    assert word_until(MOMENT, MOMENT - 1, LocalZone()) == "until 17:00"
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert word_until(MOMENT, MOMENT - 1, LocalZone()) == "until 00:00"
