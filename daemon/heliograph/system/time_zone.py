"""The machine's time zone."""

from __future__ import annotations

import datetime


class LocalZone:
    """`core.popups.quiet.Zone` by the rules that are in force here, summer time among them."""

    def wall(self, ms: int) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone().replace(tzinfo=None)

    def instant(self, wall: datetime.datetime) -> int:
        # Without a zone it is taken for local time.
        return round(wall.astimezone(datetime.UTC).timestamp() * 1000)
