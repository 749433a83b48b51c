"""Decides when nothing shall pop up: in a pause that the user asked for, and in quiet hours by weekday.

Times of day are the wall clock's, and hours are turned into instants day by day. So quiet hours begin and end by the
clock on the wall also on the night when that is put forward or back, and are never shorter than it says.
Tests: test_a_night_that_loses_an_hour_ends_by_the_clock, test_a_night_that_gains_an_hour_ends_by_the_clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Protocol

from heliograph.core.summary.summary import UNTIL_RESUMED
from heliograph.core.value_type import value_type

PAUSED = "paused"
QUIET_HOURS = "quiet hours"
DO_NOT_DISTURB = "do not disturb"
SWITCHED_OFF = "switched off in the desktop's settings"
"""Notifications of Heliograph alone are, by the user."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORTEST_NAME = 3
_DAY_MINUTES = 24 * 60
_MINUTE_MS = 60_000
_LONGEST_PAUSE_MS = 366 * _DAY_MINUTES * _MINUTE_MS
_LOOK_AHEAD_DAYS = 9


class Zone(Protocol):
    """The rules of a time zone."""

    def wall(self, ms: int) -> datetime:
        """The time that the clock on the wall shows at this instant, without a zone."""
        ...

    def instant(self, wall: datetime) -> int:
        """The instant when the clock shows this time; `fold` chooses where it does so twice, or never."""
        ...


@value_type
class Hours:
    """From `begin` on each of `days` (Monday is 0) to `end`, the next day if that is not later. Minutes of the day.
    Test: test_days_are_those_on_which_it_begins."""

    days: frozenset[int]
    begin: int
    end: int


@value_type
class Pause:
    """The pause that the user asked for. `until_ms`, in ms since 1970, may be UNTIL_RESUMED; 0: there is none."""

    until_ms: int = 0
    is_everywhere: bool = False
    """The user's other devices shall be silent, too, and not ring instead of this desktop."""

    def holds(self, now_ms: int) -> bool:
        """Whether the pause still lasts."""
        return self.until_ms == UNTIL_RESUMED or self.until_ms > now_ms


NO_PAUSE = Pause()


@value_type
class Quiet:
    """A time in which nothing pops up. `until_ms`, in ms since 1970, may be UNTIL_RESUMED."""

    why: str
    until_ms: int
    is_everywhere: bool = False
    """The user's other devices do not ring instead, as far as that is in this desktop's power."""


@value_type
class QuietHours:
    """The quiet hours of the configuration."""

    hours: tuple[Hours, ...] = ()
    is_everywhere: bool = False
    """The same as in `Pause`: other devices shall be silent, too."""


@value_type
class Through:
    """The messages that pop up in spite of quiet."""

    highlights: bool = True
    ids: frozenset[str] = frozenset()
    """Ids of rooms and senders. Never names, which anyone may give to a room."""


_HOURS = re.compile(r"(?:(?P<days>[a-z,\s-]+?)\s+)?(?P<begin>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)")
_TIME = re.compile(r"(\d{1,2}):(\d\d)")
_UNITS = (("d", _DAY_MINUTES), ("h", 60), ("m", 1))
_PAUSE = re.compile(r"(?:(?P<d>\d{1,4})d)?\s*(?:(?P<h>\d{1,4})h)?\s*(?:(?P<m>\d{1,5})m(?:in)?)?")


def parse_hours(text: str) -> Hours:
    """ "22:00-07:00", "mon-fri 22:00-07:00", "sat,sun 00:00-24:00". Raises ValueError with what is wrong."""
    found = _HOURS.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is not written like 22:00-07:00 or mon-fri 22:00-07:00")
    return Hours(_parse_days(found["days"]), _parse_time(found["begin"]), _parse_time(found["end"]))


def parse_pause(words: str, now_ms: int, zone: Zone) -> int:
    """When a pause of "1h", "90m", "1h 30m", "2d" or "until 08:00" ends; "" is UNTIL_RESUMED. Raises ValueError."""
    words = words.strip().lower()
    if not words:
        return UNTIL_RESUMED
    if _TIME.fullmatch(until := words.removeprefix("until").strip()):
        return _next_instant(_parse_time(until), now_ms, zone)
    found = _PAUSE.fullmatch(words)
    minutes = 0 if found is None else sum(int(found[unit] or 0) * size for unit, size in _UNITS)
    if not minutes:
        raise ValueError(f"{words!r} is not written like 1h, 90m, 1h 30m or until 08:00")
    if minutes * _MINUTE_MS > _LONGEST_PAUSE_MS:
        raise ValueError("a pause lasts a year at most")
    return now_ms + minutes * _MINUTE_MS


def quiet_at(now_ms: int, zone: Zone, hours: QuietHours, pause: Pause) -> Quiet | None:
    """The quiet that holds at this instant; None: it is not quiet."""
    end_ms = _end_of_hours(now_ms, zone, hours.hours)
    is_everywhere = hours.is_everywhere and end_ms > now_ms
    if pause.holds(now_ms):
        return Quiet(PAUSED, pause.until_ms, is_everywhere or pause.is_everywhere)
    return Quiet(QUIET_HOURS, end_ms, is_everywhere) if end_ms > now_ms else None


def next_change_ms(now_ms: int, zone: Zone, hours: QuietHours, pause: Pause) -> int | None:
    """The instant when the answer may be another one; None: there is none."""
    end_ms = _end_of_hours(now_ms, zone, hours.hours)
    if end_ms == now_ms:
        begins = (begin_ms for begin_ms, _ in _stretches(now_ms, zone, hours.hours) if begin_ms > now_ms)
        change_ms = next(begins, None)
    else:
        change_ms = end_ms
    if not pause.holds(now_ms):
        return change_ms
    if not hours.is_everywhere:
        change_ms = None
    ends = [each for each in (pause.until_ms, change_ms) if each is not None and each != UNTIL_RESUMED]
    return min(ends, default=None)


def word_until(until_ms: int, now_ms: int, zone: Zone) -> str:
    """ "until 08:00", with the date unless that is within a day; "until resumed"; or "" if there is no such time."""
    if until_ms == UNTIL_RESUMED:
        return "until resumed"
    if until_ms <= 0:
        return ""
    try:
        until = zone.wall(until_ms)
    except (OverflowError, ValueError, OSError):
        # Another version of the daemon may tell any number.
        return ""
    is_near = until_ms - now_ms < _DAY_MINUTES * _MINUTE_MS
    return f"until {until:{'%H:%M' if is_near else '%Y-%m-%d %H:%M'}}"


def word_quiet(why: str, until_ms: int, now_ms: int, zone: Zone) -> str:
    """Why nothing pops up, and until when: "paused until 08:00". "" without a reason."""
    return " ".join(filter(None, (why, word_until(until_ms, now_ms, zone)))) if why else ""


def _end_of_hours(now_ms: int, zone: Zone, hours: Sequence[Hours]) -> int:
    """When the quiet hours of this instant end; this instant: there are none now."""
    end_ms = now_ms
    # Stretches that overlap or touch are one quiet: in order of their beginnings, each can only lengthen it.
    for begin_ms, until_ms in _stretches(now_ms, zone, hours):
        if begin_ms <= end_ms < until_ms:
            end_ms = until_ms
    return end_ms


def _stretches(now_ms: int, zone: Zone, hours: Sequence[Hours]) -> Iterator[tuple[int, int]]:
    """The quiet stretches from yesterday's on, in order of their beginnings."""
    if not hours:
        return
    today = zone.wall(now_ms).date()
    found = []
    # Yesterday's hours may last until today, and the hours of a single weekday come again only in a week.
    for day in (today + timedelta(days=ahead) for ahead in range(-1, _LOOK_AHEAD_DAYS)):
        for each in hours:
            if day.weekday() in each.days:
                end_minute = each.end if each.end > each.begin else each.end + _DAY_MINUTES
                found.append((min(_instants(day, each.begin, zone)), max(_instants(day, end_minute, zone))))
    yield from sorted(found)


def _next_instant(minute: int, now_ms: int, zone: Zone) -> int:
    today = zone.wall(now_ms).date()
    instants = (max(_instants(today + timedelta(days=ahead), minute, zone)) for ahead in range(3))
    return next(instant for instant in instants if instant > now_ms)


def _instants(day: date, minute: int, zone: Zone) -> tuple[int, int]:
    """When the clock shows this minute of this day: twice the same, but for the night when it is put back; for one
    that is skipped, what the time before and after that would make of it."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    return zone.instant(wall), zone.instant(wall.replace(fold=1))


def _parse_time(text: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    # 24:00 is the end of a day, as in "sat,sun 00:00-24:00".
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        raise ValueError(f"{text!r} is no time of day")
    return hour * 60 + minute


def _parse_days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in re.split(r"[,\s]+", re.sub(r"\s*-\s*", "-", text).strip(", ")):
        first, _, last = part.partition("-")
        begin = _parse_day(first)
        days.update((begin + step) % 7 for step in range((_parse_day(last or first) - begin) % 7 + 1))
    return frozenset(days)


def _parse_day(name: str) -> int:
    """ "mon", "monday", and whatever is between."""
    for day, full in enumerate(_DAYS):
        if len(name) >= _SHORTEST_NAME and full.startswith(name):
            return day
    raise ValueError(f"{name!r} is no weekday: write {', '.join(full[:_SHORTEST_NAME] for full in _DAYS)}")
