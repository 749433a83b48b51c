"""Which popups the open deliveries want."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builders import ME, ROOM, make_content, make_delivery
from heliograph.core.delivery import State
from heliograph.core.notification import Category, Popup, Target, Urgency
from heliograph.core.popups import LINE_LIMIT, Close, Keep, Show, Step, arrange
from heliograph.core.record import Delivery, PopupRecord

POPUP = Popup("server", 7)


def make_record(key: str = ROOM, digest: str = "old", *, is_stale: bool = False, size: int = 1) -> PopupRecord:
    return PopupRecord(key, POPUP, digest, is_stale, size)


def shown(event_id: str, **delivery: Any) -> Delivery:
    defaults: dict[str, Any] = {"state": State.SHOWN, "popup_key": ROOM}
    return make_delivery(event_id, **(defaults | delivery))


def steps(deliveries: Sequence[Delivery], *popups: PopupRecord, max_rooms: int = 5) -> list[Step]:
    return arrange(deliveries, popups, me=ME, max_rooms=max_rooms)


def only_show(deliveries: Sequence[Delivery], *popups: PopupRecord, max_rooms: int = 5) -> Show:
    (step,) = steps(deliveries, *popups, max_rooms=max_rooms)
    assert isinstance(step, Show)
    return step


def test_nothing_due_means_nothing_to_do() -> None:
    assert steps([]) == []
    assert steps([], make_record()) == []


def test_a_message_in_a_group_is_shown_under_the_rooms_name_by_its_senders() -> None:
    step = only_show([make_delivery("$1", content=make_content(sound="default"))])
    assert (step.key, step.replaces) == (ROOM, None)
    assert (step.notification.summary, step.notification.body) == ("Lunch", "Alice: hello")
    assert (step.notification.sound, step.notification.account) == ("default", ME)
    assert step.notification.target == Target(ROOM, "$1")


def test_a_direct_message_is_shown_under_its_senders_name_alone() -> None:
    step = only_show([make_delivery(content=make_content(is_direct=True))])
    assert (step.notification.summary, step.notification.body) == ("Alice", "hello")


def test_new_messages_join_the_rooms_popup_and_ring_once() -> None:
    before = shown("$1", content=make_content("first", sound="old"))
    step = only_show([before, make_delivery("$2", text="second")], make_record())
    assert step.replaces == make_record()
    assert step.notification.summary == "Lunch (2 new)"
    assert step.notification.body == "Alice: first\nAlice: second"
    assert step.notification.sound is None
    assert [each.event_id for each in step.deliveries] == ["$1", "$2"]


def test_only_the_last_lines_of_many_are_quoted() -> None:
    step = only_show([make_delivery(f"${n}", text=str(n)) for n in range(9)])
    assert step.notification.summary == "Lunch (9 new)"
    assert step.notification.body == "Alice: 5\nAlice: 6\nAlice: 7\nAlice: 8"


def test_messages_that_are_no_longer_quoted_are_counted() -> None:
    step = only_show([shown("$8", content=make_content("8")), make_delivery("$9", text="9")], make_record(size=8))
    assert step.notification.summary == "Lunch (9 new)"
    assert step.notification.body == "Alice: 8\nAlice: 9"


def test_long_messages_do_not_push_the_newest_off_the_popup() -> None:
    deliveries = [make_delivery(text="x" * 600), make_delivery(text="line\n" * 100), make_delivery(text="the newest")]
    lines = only_show(deliveries).notification.body.split("\n")
    assert lines[-1] == "Alice: the newest"
    assert [len(line) for line in lines[:2]] == [LINE_LIMIT, LINE_LIMIT]


def test_a_message_that_is_alone_keeps_its_lines() -> None:
    assert only_show([make_delivery(text="one\ntwo")]).notification.body == "Alice: one\ntwo"


def test_a_line_without_a_sender_stands_alone() -> None:
    step = only_show([make_delivery("start:1", room_id="", content=make_content("3 unread", sender_name=""))])
    assert step.key == "start:1"
    assert step.notification.body == "3 unread"
    assert step.notification.target == Target()


def test_each_room_has_its_own_popup() -> None:
    found = steps([make_delivery("$1", room_id="!a"), make_delivery("$2", room_id="!b")])
    assert [step.key for step in found if isinstance(step, Show)] == ["!a", "!b"]


def test_news_in_many_rooms_become_one_summary_that_counts_every_delivery_once() -> None:
    many = [
        make_delivery(f"${n}", room_id=f"!{n % 30}", position=n, content=make_content(room_title=f"Room {n % 30}"))
        for n in range(200)
    ]
    step = only_show(many)
    assert step.key == "summary:$0"
    assert step.notification.summary == "200 new messages in 30 rooms"
    assert step.notification.body.splitlines()[0] == "Room 0: 7"
    assert step.notification.body.splitlines()[-1] == "and 22 more"
    assert step.notification.target == Target()
    assert len({each.event_id for each in step.deliveries}) == 200


def test_a_summary_of_few_rooms_names_them_all() -> None:
    step = only_show([make_delivery(room_id="!a"), make_delivery(room_id="!b")], max_rooms=1)
    assert step.notification.body == "Lunch: 2"
    direct = [make_delivery(room_id=r, content=make_content(is_direct=True, sender_name=r)) for r in ("!a", "!b")]
    assert only_show(direct, max_rooms=1).notification.body == "!a: 1\n!b: 1"


def test_a_popup_whose_deliveries_were_all_taken_back_is_closed() -> None:
    assert steps([], make_record(is_stale=True, size=0)) == [Close(make_record(is_stale=True))]


def test_a_popup_that_lost_one_of_its_lines_says_so_silently() -> None:
    record = make_record(is_stale=True)
    step = only_show([shown("$1", content=make_content("stays", sound="default"))], record)
    assert (step.replaces, step.notification.body, step.notification.sound) == (record, "Alice: stays", None)


def test_a_stale_popup_that_still_says_the_right_thing_is_left_alone() -> None:
    digest = only_show([shown("$1")], make_record(is_stale=True)).digest
    record = make_record(digest=digest, is_stale=True)
    assert steps([shown("$1")], record) == [Keep(record)]


def test_a_delivery_whose_popup_is_forgotten_or_whose_text_is_erased_is_not_shown_again() -> None:
    assert steps([shown("$1", popup_key=None)]) == []
    assert steps([make_delivery(content=None)]) == []


def test_calls_insist_and_what_makes_no_sound_does_not() -> None:
    def urgency(**content: Any) -> Urgency:
        return only_show([make_delivery(content=make_content(**content))]).notification.urgency

    assert urgency(category=Category.CALL) is Urgency.CRITICAL
    assert urgency(sound="default") is Urgency.NORMAL
    assert urgency(is_highlight=True) is Urgency.NORMAL
    assert urgency() is Urgency.LOW
