"""Which queue is looked at, and when."""

from __future__ import annotations

from heliograph.relay.queue.schedule import QueueSchedule


def test_keys_come_in_the_order_of_their_times() -> None:
    schedule = QueueSchedule(9, 9)
    for key, due in (("late", 30), ("early", 10), ("late", 5)):
        schedule.ask(key, due)
    assert schedule.next_ms() == 5
    assert [schedule.take(10), schedule.take(10), schedule.take(10)] == ["late", "early", None]
    assert schedule.next_ms() is None


def test_what_is_asked_for_a_key_at_work_is_looked_at_afterwards() -> None:
    schedule = QueueSchedule(9, 9)
    schedule.ask("a", 0)
    assert schedule.take(0) == "a"
    assert schedule.start("a", "host")
    schedule.ask("a", 7)
    assert schedule.take(9) is None
    schedule.finish("a", 50, 9)
    assert schedule.next_ms() == 7


def test_nothing_is_kept_of_keys_with_nothing_to_do() -> None:
    schedule = QueueSchedule(9, 1)
    for key in ("a", "b"):
        schedule.ask(key, 0)
        schedule.start(str(schedule.take(0)), "host")
    assert len(schedule) == 2
    schedule.finish("a", None, 0)
    schedule.start(str(schedule.take(0)), "host")
    schedule.finish("b", None, 0)
    assert len(schedule) == 0
