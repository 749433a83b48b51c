"""The machine's time zone."""

from __future__ import annotations

import datetime


class LocalZone:
    """A `core.popups.quiet.Zone` by the rules of this machine, summer time among them."""

    def wall(self, ms: int) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone().replace(tzinfo=None)

    def instant(self, wall: datetime.datetime) -> int:
        # Python takes a time without a zone for local time.
        return round(wall.astimezone(datetime.UTC).timestamp() * 1000)
