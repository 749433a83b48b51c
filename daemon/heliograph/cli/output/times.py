"""Writes times for people."""

from __future__ import annotations

import datetime


def local_time(ms: object) -> str:
    """A time (ms since 1970) as date and time of day in the zone of this machine."""
    if not isinstance(ms, int | float) or ms <= 0:
        return "never"
    try:
        moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return "at an unknown time"
    return moment.strftime("%Y-%m-%d %H:%M:%S")
