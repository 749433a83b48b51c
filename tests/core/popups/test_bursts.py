"""A burst is shown as one, and heard once."""

from __future__ import annotations

from heliograph.core.popups.bursts import BURST_MS, MOST_SHOWN, BurstWindow, SoundGate


def test_what_comes_alone_is_shown_at_once() -> None:
    window = BurstWindow(5)
    for now in range(0, 60_000, 1000):
        assert window.wait_ms(now) == 0
        window.note_shown(now, is_new=True)


def test_while_more_is_known_to_come_it_is_gathered_but_not_for_longer_than_the_window() -> None:
    window = BurstWindow(5)
    window.hold(1000)
    window.hold(2500)
    assert window.wait_ms(1500) == 1500
    assert window.wait_ms(1000 + BURST_MS) == 0
    window.hold(9000)
    assert window.wait_ms(9000) == BURST_MS
    window.release()
    assert window.wait_ms(9000) == 0


def test_after_many_new_popups_the_next_are_gathered() -> None:
    window = BurstWindow(3)
    for now in (0, 10, 20):
        assert window.wait_ms(now) == 0
        window.note_shown(now, is_new=True)
    assert window.wait_ms(30) == BURST_MS - 30
    assert window.wait_ms(BURST_MS) == 0


def test_after_a_summary_what_comes_next_is_gathered() -> None:
    window = BurstWindow(3)
    window.note_shown(100, is_new=False, is_summary=True)
    assert window.wait_ms(100) == BURST_MS


def test_changes_of_popups_are_gathered_only_where_nobody_can_follow() -> None:
    window = BurstWindow(3)
    for now in range(MOST_SHOWN):
        assert window.wait_ms(now) == 0
        window.note_shown(now, is_new=False)
    assert window.wait_ms(MOST_SHOWN) == BURST_MS - MOST_SHOWN


def test_a_burst_can_be_ended() -> None:
    window = BurstWindow(1)
    window.note_shown(0, is_new=True)
    window.hold(0)
    assert window.wait_ms(1)
    window.end()
    assert window.wait_ms(1) == 0


def test_a_clock_that_is_put_back_does_not_prolong_the_window() -> None:
    window = BurstWindow(1)
    window.note_shown(1_000_000, is_new=True)
    window.hold(1_000_000)
    assert window.wait_ms(5000) == 0


def test_one_sound_passes_in_the_time_of_a_window_and_every_call() -> None:
    gate = SoundGate()
    assert [now for now in range(0, 6000, 100) if gate.passes(now)] == [0, 2000, 4000]
    assert gate.passes(5950, is_call=True)
    assert not gate.passes(6000)
    assert gate.passes(100), "the clock was put back"
