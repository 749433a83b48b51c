"""When the delivery loop works again by itself."""

from __future__ import annotations

from heliograph.core.popups.schedule import DESKTOP_RETRY_S, LEAST_WAIT_S, Schedule

NOW_MS = 1_700_000_000_000


def test_without_anything_due_it_waits_for_a_call() -> None:
    schedule = Schedule()
    assert schedule.delay_s(NOW_MS) is None
    schedule.note_due(None)
    assert schedule.delay_s(NOW_MS) is None


def test_the_first_of_what_is_due_is_waited_for() -> None:
    schedule = Schedule()
    schedule.note_also_due(NOW_MS + 9000)
    assert schedule.delay_s(NOW_MS) == 9
    schedule.note_due(NOW_MS + 8000)
    schedule.note_also_due(NOW_MS + 20_000)
    assert schedule.delay_s(NOW_MS) == 8
    schedule.note_also_due(NOW_MS + 7000)
    assert schedule.delay_s(NOW_MS) == 7
    schedule.note_burst(NOW_MS + 2000)
    assert schedule.delay_s(NOW_MS) == 2


def test_what_is_overdue_is_tried_after_a_moment_and_a_burst_that_is_over_at_once() -> None:
    schedule = Schedule()
    schedule.note_due(NOW_MS - 1000)
    assert schedule.delay_s(NOW_MS) == LEAST_WAIT_S
    schedule.note_burst(NOW_MS - 1)
    assert schedule.delay_s(NOW_MS) == 0


def test_a_round_tries_anew_what_the_desktop_could_not_do_and_keeps_what_is_due() -> None:
    schedule = Schedule()
    schedule.note_due(NOW_MS + 60_000)
    schedule.note_retry()
    schedule.note_burst(NOW_MS + 1000)
    assert schedule.delay_s(NOW_MS + 1000) == 0
    schedule.begin_round()
    assert schedule.delay_s(NOW_MS) == 60
    schedule.note_retry()
    assert schedule.delay_s(NOW_MS) == DESKTOP_RETRY_S
