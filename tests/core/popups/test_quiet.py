"""Quiet hours and pauses, by the clock on the wall: also on the nights when that is put forward or back."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from heliograph.core.popups.quiet import (
    Hours,
    Pause,
    Quiet,
    QuietHours,
    Zone,
    next_change_ms,
    parse_hours,
    parse_pause,
    quiet_at,
    word_quiet,
    word_until,
)
from heliograph.core.summary.summary import UNTIL_RESUMED

HOUR = 3_600_000
DAY = 24 * HOUR


class Berlin:
    """Summer time begins on 2026-03-29 at 02:00 (then it is 03:00), and ends on 2026-10-25 at 03:00 (then 02:00)."""

    _zone = ZoneInfo("Europe/Berlin")

    def wall(self, ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, self._zone).replace(tzinfo=None, fold=0)

    def instant(self, wall: datetime) -> int:
        return round(wall.replace(tzinfo=self._zone).timestamp() * 1000)


ZONE: Zone = Berlin()


def at(text: str, fold: int = 0) -> int:
    """In Berlin. 2026-11-20 is a Friday."""
    return ZONE.instant(datetime.fromisoformat(text).replace(fold=fold))


def quiet(now: str | int, *hours: str, paused_until_ms: int = 0) -> Quiet | None:
    now_ms = at(now) if isinstance(now, str) else now
    return quiet_at(now_ms, ZONE, quiet_hours(*hours), Pause(paused_until_ms))


def quiet_hours(*hours: str, is_everywhere: bool = False) -> QuietHours:
    return QuietHours(tuple(map(parse_hours, hours)), is_everywhere)


NIGHT = "22:00-07:00"


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-20 21:59", None),
        ("2026-11-20 22:00", "2026-11-21 07:00"),
        ("2026-11-21 03:00", "2026-11-21 07:00"),
        ("2026-11-21 06:59", "2026-11-21 07:00"),
        ("2026-11-21 07:00", None),
    ],
)
def test_hours_over_midnight_are_one_stretch(now: str, until: str | None) -> None:
    assert quiet(now, NIGHT) == (None if until is None else Quiet("quiet hours", at(until)))


@pytest.mark.parametrize(
    ("now", "is_quiet"),
    [
        ("2026-11-20 23:30", True),
        ("2026-11-21 09:59", True),
        ("2026-11-21 23:30", True),
        ("2026-11-22 09:59", True),
        ("2026-11-22 23:30", False),
        ("2026-11-20 09:00", False),
    ],
)
def test_days_are_those_on_which_it_begins(now: str, is_quiet: bool) -> None:
    assert (quiet(now, "fri,sat 23:00-10:00") is not None) is is_quiet


def test_stretches_that_touch_are_one() -> None:
    assert quiet("2026-11-20 21:00", "20:00-22:00", NIGHT, "sat 06:00-09:00") == Quiet(
        "quiet hours", at("2026-11-21 09:00")
    )


def test_always_quiet_has_an_end_to_look_again_at() -> None:
    always = quiet("2026-11-20 12:00", "00:00-24:00")
    assert always is not None
    assert always.until_ms > at("2026-11-26 12:00")


def test_a_night_that_loses_an_hour_ends_by_the_clock() -> None:
    found = quiet("2026-03-28 23:00", NIGHT)
    assert found is not None
    assert found.until_ms == at("2026-03-29 07:00")
    assert found.until_ms - at("2026-03-28 22:00") == 8 * HOUR


def test_a_night_that_gains_an_hour_ends_by_the_clock() -> None:
    found = quiet("2026-10-24 23:00", NIGHT)
    assert found is not None
    assert found.until_ms - at("2026-10-24 22:00") == 10 * HOUR


def test_an_hour_that_comes_twice_is_quiet_twice_and_in_one_stretch() -> None:
    end = at("2026-10-25 02:30", fold=1)
    for now in (at("2026-10-25 02:10"), at("2026-10-25 02:40"), at("2026-10-25 02:10", fold=1)):
        assert quiet(now, "00:00-02:30") == Quiet("quiet hours", end)
    assert quiet(end, "00:00-02:30") is None


def test_an_hour_that_is_skipped_makes_quiet_no_shorter() -> None:
    found = quiet("2026-03-29 01:00", "00:00-02:30")
    assert found is not None
    assert found.until_ms >= at("2026-03-29 03:00")


class Lost:
    """No rules of it can be read."""

    def wall(self, ms: int) -> datetime:
        raise OSError("no zone")

    def instant(self, wall: datetime) -> int:
        raise OSError("no zone")


def test_a_pause_needs_no_time_zone_where_there_are_no_quiet_hours() -> None:
    pause = Pause(HOUR)
    assert quiet_at(0, Lost(), QuietHours(), pause) == Quiet("paused", HOUR)
    assert next_change_ms(0, Lost(), QuietHours(), pause) == HOUR
    assert quiet_at(HOUR, Lost(), QuietHours(), pause) is None


def test_a_pause_comes_before_quiet_hours() -> None:
    now = at("2026-11-20 23:00")
    assert quiet(now, NIGHT, paused_until_ms=now + HOUR) == Quiet("paused", now + HOUR)
    assert quiet(now, NIGHT, paused_until_ms=UNTIL_RESUMED) == Quiet("paused", UNTIL_RESUMED)
    assert quiet(now, paused_until_ms=now) is None


@pytest.mark.parametrize("are_hours_everywhere", [False, True])
@pytest.mark.parametrize("is_pause_everywhere", [False, True])
@pytest.mark.parametrize(("now", "are_hours_now"), [("2026-11-20 12:00", False), ("2026-11-20 23:00", True)])
def test_quiet_is_everywhere_if_the_pause_or_the_hours_of_now_are(
    now: str, are_hours_now: bool, is_pause_everywhere: bool, are_hours_everywhere: bool
) -> None:
    hours = quiet_hours(NIGHT, is_everywhere=are_hours_everywhere)
    by_hours = are_hours_now and are_hours_everywhere
    paused = quiet_at(at(now), ZONE, hours, Pause(UNTIL_RESUMED, is_pause_everywhere))
    assert paused == Quiet("paused", UNTIL_RESUMED, is_pause_everywhere or by_hours)
    unpaused = quiet_at(at(now), ZONE, hours, Pause(0, is_pause_everywhere))
    assert (unpaused is not None, unpaused is not None and unpaused.is_everywhere) == (are_hours_now, by_hours)


def test_hours_that_are_everywhere_change_a_pause_that_is_not() -> None:
    hours, noon = quiet_hours(NIGHT, is_everywhere=True), at("2026-11-20 12:00")
    assert next_change_ms(noon, ZONE, hours, Pause(UNTIL_RESUMED)) == at("2026-11-20 22:00")
    assert next_change_ms(at("2026-11-20 23:00"), ZONE, hours, Pause(UNTIL_RESUMED)) == at("2026-11-21 07:00")
    assert next_change_ms(noon, ZONE, hours, Pause(noon + HOUR)) == noon + HOUR
    assert next_change_ms(noon, ZONE, quiet_hours(is_everywhere=True), Pause(UNTIL_RESUMED)) is None


def next_change(now: str, *hours: str, paused_until_ms: int = 0) -> int | None:
    return next_change_ms(at(now), ZONE, quiet_hours(*hours), Pause(paused_until_ms))


def test_the_next_change_is_the_end_or_else_the_next_beginning() -> None:
    assert next_change("2026-11-20 12:00", NIGHT) == at("2026-11-20 22:00")
    assert next_change("2026-11-20 22:00", NIGHT) == at("2026-11-21 07:00")
    assert next_change("2026-11-20 12:00", "mon 22:00-23:00") == at("2026-11-23 22:00")
    assert next_change("2026-11-20 12:00", paused_until_ms=at("2026-11-20 13:00")) == at("2026-11-20 13:00")
    assert next_change("2026-11-20 12:00", NIGHT, paused_until_ms=UNTIL_RESUMED) is None
    assert next_change("2026-11-20 12:00") is None


ALL = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("22:00-07:00", Hours(ALL, 22 * 60, 7 * 60)),
        (" 7:05 - 9:00 ", Hours(ALL, 7 * 60 + 5, 9 * 60)),
        ("Mon-Fri 22:00-07:00", Hours(frozenset(range(5)), 22 * 60, 7 * 60)),
        ("sat, sun 00:00-24:00", Hours(frozenset({5, 6}), 0, 24 * 60)),
        ("fri-mon 1:00-2:00", Hours(frozenset({4, 5, 6, 0}), 60, 120)),
        ("monday wednes 1:00-2:00", Hours(frozenset({0, 2}), 60, 120)),
        ("mon - tue,thu 1:00-2:00", Hours(frozenset({0, 1, 3}), 60, 120)),
    ],
)
def test_hours_are_read(text: str, hours: Hours) -> None:
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not written like"),
        ("22:00", "is not written like"),
        ("25:00-07:00", "'25:00' is no time of day"),
        ("24:30-07:00", "is no time of day"),
        ("10:60-11:00", "is no time of day"),
        ("mo 10:00-11:00", "'mo' is no weekday: write mon, tue"),
        ("someday 10:00-11:00", "is no weekday"),
        (", 10:00-11:00", "is no weekday"),
    ],
)
def test_hours_that_are_none_are_explained(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_hours(text)


@pytest.mark.parametrize(
    ("words", "until"),
    [
        ("1h", "2026-11-20 13:00"),
        ("90m", "2026-11-20 13:30"),
        ("1h 30min", "2026-11-20 13:30"),
        ("1d2h", "2026-11-21 14:00"),
        ("until 13:15", "2026-11-20 13:15"),
        ("UNTIL 08:00", "2026-11-21 08:00"),
        ("12:00", "2026-11-21 12:00"),
    ],
)
def test_a_pause_is_read(words: str, until: str) -> None:
    assert parse_pause(words, at("2026-11-20 12:00"), ZONE) == at(until)


def test_a_pause_without_words_lasts_until_it_is_ended() -> None:
    assert parse_pause("", 5, ZONE) == UNTIL_RESUMED


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("soon", "is not written like 1h"),
        ("0m", "is not written like 1h"),
        ("1h until 08:00", "is not written like 1h"),
        ("until 25:00", "no time of day"),
        ("367d", "a year at most"),
        ("-1h", "is not written like"),
    ],
)
def test_a_pause_that_is_none_is_explained(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_pause(words, 0, ZONE)


# In words


def test_the_end_of_quiet_is_a_time_of_day_and_has_a_date_unless_it_is_near() -> None:
    now = at("2026-11-20 22:00")
    assert word_until(at("2026-11-21 08:00"), now, ZONE) == "until 08:00"
    assert word_until(at("2026-11-22 08:00"), now, ZONE) == "until 2026-11-22 08:00"
    assert word_until(UNTIL_RESUMED, now, ZONE) == "until resumed"


@pytest.mark.parametrize("until_ms", [0, -7, 10**18, 10**30])
def test_what_is_no_time_has_no_words(until_ms: int) -> None:
    assert word_until(until_ms, at("2026-11-20 22:00"), ZONE) == ""


def test_quiet_is_told_with_its_end_if_it_has_one() -> None:
    now = at("2026-11-20 22:00")
    assert word_quiet("paused", at("2026-11-21 08:00"), now, ZONE) == "paused until 08:00"
    assert word_quiet("do not disturb", 0, now, ZONE) == "do not disturb"
    assert word_quiet("", at("2026-11-21 08:00"), now, ZONE) == ""
