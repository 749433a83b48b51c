"""The machine's time zone, as it is now: it changes on a journey, while programs run.

Python's conversions keep the zone that the process began with, until `time.tzset` reads /etc/localtime again. If that
has not changed, the C library looks no further than its date.
Test: test_a_change_of_the_time_zone_is_followed.
"""

from __future__ import annotations

import datetime
import time


def follow_time_zone() -> None:
    """Has the conversions that follow use the zone of now."""
    time.tzset()


class LocalZone:
    """A `core.popups.quiet.Zone` by the rules of this machine, summer time among them."""

    def wall(self, ms: int) -> datetime.datetime:
        follow_time_zone()
        return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone().replace(tzinfo=None)

    def instant(self, wall: datetime.datetime) -> int:
        follow_time_zone()
        # Python takes a time without a zone for local time.
        return round(wall.astimezone(datetime.UTC).timestamp() * 1000)
