"""Which popups the open deliveries want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from heliograph.core.delivery import State
from heliograph.core.ids import EventId
from heliograph.core.notification import Category, Popup, Target, Urgency
from heliograph.core.popups.arrange import Close, Fault, Keep, PopupStep, Show, arrange, as_fault, is_summary, new_rooms
from heliograph.core.popups.privacy import Level
from heliograph.core.popups.profile import SAFE, Layout
from heliograph.core.popups.profiles import GNOME
from heliograph.core.popups.text import LINE_LIMIT, WHERE_ALL_ARE
from heliograph.core.record import Content, Delivery, PopupRecord
from support.builders import ME, ROOM, make_content, make_delivery

POPUP = Popup("server", 7)


def make_record(key: str = ROOM, digest: str = "old", *, is_stale: bool = False, size: int = 1) -> PopupRecord:
    return PopupRecord(key, POPUP, digest, is_stale, size)


def shown(event_id: str, **delivery: Any) -> Delivery:
    defaults: dict[str, Any] = {"state": State.SHOWN, "popup_key": ROOM}
    return make_delivery(event_id, **(defaults | delivery))


def steps(
    deliveries: Sequence[Delivery],
    *popups: PopupRecord,
    max_rooms: int = 5,
    level: Level = Level.FULL,
    layout: Layout = SAFE.layout,
) -> list[PopupStep]:
    return arrange(deliveries, popups, me=ME, max_rooms=max_rooms, level=lambda _: level, layout=layout)


def only_show(
    deliveries: Sequence[Delivery],
    *popups: PopupRecord,
    max_rooms: int = 5,
    level: Level = Level.FULL,
    layout: Layout = SAFE.layout,
) -> Show:
    (step,) = steps(deliveries, *popups, max_rooms=max_rooms, level=level, layout=layout)
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
    assert step.notification.target == Target(ROOM, EventId("$1"))


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
    assert [len(line) for line in lines[:2]] == [LINE_LIMIT, LINE_LIMIT - 3]


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
    assert step.notification.body.splitlines()[-2:] == ["and 23 more", "All of them: heliograph inbox"]
    assert step.notification.target == Target()
    assert len({each.event_id for each in step.deliveries}) == 200


def test_a_summary_of_few_rooms_names_them_all() -> None:
    step = only_show([make_delivery(room_id="!a"), make_delivery(room_id="!b")], max_rooms=1)
    assert step.notification.body == f"Lunch: 2\n{WHERE_ALL_ARE}"
    direct = [make_delivery(room_id=r, content=make_content(is_direct=True, sender_name=r)) for r in ("!a", "!b")]
    assert only_show(direct, max_rooms=1).notification.body == f"!a: 1\n!b: 1\n{WHERE_ALL_ARE}"


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


def test_calls_insist_and_what_makes_no_sound_is_seen_all_the_same() -> None:
    """A call that the push rules want silent does not insist."""

    def urgency(**content: Any) -> Urgency:
        return only_show([make_delivery(content=make_content(**content))]).notification.urgency

    assert urgency(category=Category.CALL, sound="ring") is Urgency.CRITICAL
    assert urgency(category=Category.CALL, is_highlight=True) is Urgency.NORMAL
    assert urgency(category=Category.CALL) is Urgency.NORMAL
    assert urgency(sound="default") is Urgency.NORMAL
    assert urgency(is_highlight=True) is Urgency.NORMAL
    assert urgency() is Urgency.NORMAL


def test_styles_and_senders_are_marked_up() -> None:
    content = make_content("now & then", markup="now &amp; <i>then</i>")
    assert only_show([make_delivery(content=content)]).notification.markup == "<b>Alice</b>: now &amp; <i>then</i>"
    direct = make_content("now & then", is_direct=True)
    assert only_show([make_delivery(content=direct)]).notification.markup == "now &amp; then"


def test_a_style_that_changes_is_shown_again() -> None:
    digests = {
        only_show([make_delivery(content=make_content("x", markup=markup))]).digest for markup in ("", "<b>x</b>")
    }
    assert len(digests) == 2


def test_those_who_wrote_what_is_no_longer_quoted_are_named() -> None:
    record = replace(make_record(size=8), senders=("Carol", "Alice", "Bob"))
    step = only_show([make_delivery(text="last")], record)
    assert step.notification.body == "Also from Carol and Bob\nAlice: last"
    many = replace(record, senders=("A", "B", "C", "D", "E"))
    assert only_show([make_delivery()], many).notification.body.startswith("Also from A, B and 3 others\n")


def test_a_room_with_one_other_person_is_named_by_its_room_once_others_write() -> None:
    both = [make_delivery(content=make_content(is_direct=True, sender_name=name)) for name in ("Alice", "Bob")]
    step = only_show(both)
    assert (step.notification.summary, step.notification.body) == ("Lunch (2 new)", "Alice: hello\nBob: hello")


def test_a_thread_is_named_in_the_title_if_there_is_nothing_else() -> None:
    thread = make_content(thread="When do we eat?")
    assert only_show([make_delivery(content=thread)]).notification.summary == "Lunch › When do we eat?"
    assert only_show([make_delivery(content=make_content(thread=""))]).notification.summary == "Lunch › thread"


def test_threads_are_named_in_their_lines_if_there_are_several() -> None:
    contents = (make_content(thread="Tea"), make_content(thread=""), make_content())
    body = only_show([make_delivery(content=content) for content in contents]).notification.body
    assert body == "Alice (in “Tea”): hello\nAlice (in a thread): hello\nAlice: hello"
    direct = (make_content(thread="Tea", is_direct=True), make_content(is_direct=True))
    body = only_show([make_delivery(content=content) for content in direct]).notification.body
    assert body == "(in “Tea”) hello\nhello"


def test_of_all_that_is_shown_together_only_the_most_urgent_sounds() -> None:
    ordinary = make_content(sound="default")
    highlight = make_content(sound="ping", is_highlight=True)
    call = make_content(sound="ring", category=Category.CALL)

    def sounds(*contents: Content) -> list[str | None]:
        deliveries = [make_delivery(room_id=f"!{n}", content=content) for n, content in enumerate(contents)]
        return [step.notification.sound for step in steps(deliveries) if isinstance(step, Show)]

    assert sounds(ordinary, ordinary, make_content()) == ["default", None, None]
    assert sounds(ordinary, highlight) == [None, "ping"]
    assert sounds(highlight, call, call) == [None, "ring", None]
    assert sounds(make_content(), make_content()) == [None, None]


def test_another_flood_joins_the_summary_that_is_there() -> None:
    record = make_record("summary:$0", size=1)
    before = shown("$0", room_id="!0", popup_key=record.key)
    flood = [make_delivery(f"${n}", room_id=f"!{n}", position=n) for n in range(1, 7)]
    step = only_show([before, *flood], record)
    assert (step.key, step.replaces) == (record.key, record)
    assert step.notification.summary == "7 new messages"
    assert is_summary(record.key)
    assert not is_summary(ROOM)
    assert new_rooms([before, *flood]) == 6


def test_a_popup_shows_the_avatar_of_its_newest_message_and_a_summary_none() -> None:
    pictured = make_content(avatar="mxc://x/y")
    assert only_show([make_delivery(content=pictured)]).notification.avatar == "mxc://x/y"
    assert only_show([make_delivery(content=pictured)], level=Level.SENDER).notification.avatar == "mxc://x/y"
    assert only_show([make_delivery(content=pictured)], level=Level.HIDDEN).notification.avatar is None
    both = [make_delivery(room_id=room, content=pictured) for room in ("!a", "!b")]
    assert only_show(both, max_rooms=1).notification.avatar is None


def test_without_the_text_the_sender_and_the_room_are_told() -> None:
    def says(*contents: Content) -> tuple[str, str]:
        step = only_show([make_delivery(content=content) for content in contents], level=Level.SENDER)
        return step.notification.summary, step.notification.body

    secret, from_bob = make_content("secret", thread="secret"), make_content("secret", sender_name="Bob")
    assert says(secret) == ("Lunch", "New message from Alice")
    assert says(secret, from_bob, secret) == ("Lunch", "3 new messages from Alice and Bob")
    assert says(make_content("secret", is_direct=True)) == ("Alice", "New message")
    assert says(make_content("secret", sender_name="")) == ("Lunch", "New message")
    assert says(make_content("Incoming call", category=Category.CALL)) == ("Lunch", "Alice: Incoming call")


def test_hidden_messages_are_counted_and_nothing_else() -> None:
    def says(*contents: Content) -> tuple[str, str, str]:
        step = only_show([make_delivery(content=content) for content in contents], level=Level.HIDDEN)
        return step.notification.summary, step.notification.body, step.notification.markup

    assert says(make_content("secret")) == ("New message", "", "")
    assert says(make_content("secret"), make_content("secret")) == ("2 new messages", "", "")
    assert says(make_content("x", category=Category.INVITE)) == ("New invite", "", "")
    assert says(make_content("x", category=Category.CALL)) == ("Incoming call", "", "")


def test_a_summary_counts_hidden_rooms_without_their_names() -> None:
    deliveries = [make_delivery(room_id=f"!{n}", content=make_content(room_title=f"Room {n}")) for n in range(3)]
    found = arrange(
        deliveries, (), me=ME, max_rooms=1, level=lambda each: Level.HIDDEN if each.room_id == "!1" else Level.FULL
    )
    (step,) = found
    assert isinstance(step, Show)
    assert step.notification.summary == "3 new messages"
    assert step.notification.body == f"Room 0: 1\nRoom 2: 1\nHidden: 1\n{WHERE_ALL_ARE}"


def faulty_level(delivery: Delivery) -> Level:
    if delivery.event_id == "$faulty":
        raise ValueError("a fault of our own")
    return Level.FULL


def test_a_message_that_finds_a_fault_of_ours_keeps_no_other_popup_from_the_screen() -> None:
    record = make_record()
    good, faulty = make_delivery("$good", room_id="!other:example.org"), make_delivery("$faulty")
    fault, step = arrange([faulty, good], [record], me=ME, max_rooms=5, level=faulty_level)
    assert isinstance(fault, Fault)
    assert (fault.key, fault.deliveries, fault.record) == (ROOM, (faulty,), record)
    assert isinstance(fault.error, ValueError)
    assert isinstance(step, Show)
    assert step.deliveries == (good,)


def test_a_popup_that_cannot_be_said_anew_for_a_fault_of_ours_is_named() -> None:
    record = make_record(is_stale=True)
    (fault,) = arrange([shown("$faulty")], [record], me=ME, max_rooms=5, level=faulty_level)
    assert isinstance(fault, Fault)
    assert (fault.key, fault.record) == (ROOM, record)


def test_a_step_that_cannot_be_taken_is_named_with_what_it_was_about() -> None:
    record, error = make_record(), ValueError("a fault of our own")
    show = replace(only_show([make_delivery("$a")]), replaces=record)
    assert as_fault(show, error) == Fault(ROOM, show.deliveries, record, error)
    assert as_fault(Close(record), error) == as_fault(Keep(record), error) == Fault(ROOM, (), record, error)
    assert as_fault(Fault(ROOM, show.deliveries, record, ValueError("before")), error) == as_fault(show, error)


def flood(*contents: Content) -> Show:
    """Seven rooms with a message each, and then these."""
    deliveries = [make_delivery(room_id=f"!{n}:x", content=make_content(room_title=f"Room {n}")) for n in range(7)]
    deliveries += [make_delivery(room_id=f"!{each.room_title}:x", content=each) for each in contents]
    return only_show(deliveries)


def test_a_summary_quotes_what_highlights_first_the_newest_on_top() -> None:
    mention = make_content("where *are* you?", room_title="Work", sender_name="Bob", is_highlight=True)
    direct = make_content("hey", room_title="x", sender_name="Carol", is_direct=True, is_highlight=True)
    lines = flood(mention, make_content("noise", room_title="Work"), direct).notification.body.splitlines()
    assert lines[:4] == ["@ Carol: hey", "@ Bob in Work: where *are* you?", "Work: 2 (@)", "Room 0: 1"]
    assert lines[-2:] == ["and 3 more", "All of them: heliograph inbox"]


def test_a_summary_names_each_room_once() -> None:
    """What is quoted is not counted again, and not among those that are not named."""
    mentions = [
        make_content("here", room_title=f"Group {name}", sender_name="Carol", is_highlight=True) for name in "abcdefg"
    ]
    lines = only_show(
        [make_delivery(room_id=f"!{each.room_title}:x", content=each) for each in mentions]
    ).notification.body.splitlines()
    assert lines == [
        *(f"@ Carol in Group {name}: here" for name in "gfe"),
        *(f"Group {name}: 1 (@)" for name in "abcd"),
        "All of them: heliograph inbox",
    ]


def test_a_summary_quotes_three_highlights_at_the_most_and_each_in_a_line() -> None:
    mentions = [
        make_content(f"first {n}\nsecond " + "x" * 500, room_title=f"Work {n}", is_highlight=True) for n in range(9)
    ]
    lines = flood(*mentions).notification.body.splitlines()
    assert [line.split(": ")[0] for line in lines[:3]] == [f"@ Alice in Work {n}" for n in (8, 7, 6)]
    assert all(len(line) <= 200 for line in lines)
    assert len(lines) == 9


def test_a_summary_keeps_what_privacy_does_not_show() -> None:
    deliveries = [
        make_delivery(
            room_id=f"!{n}:x",
            content=make_content("secret", room_title=f"Room {n}", sender_name="Bob", is_highlight=True),
        )
        for n in range(7)
    ]
    (step,) = arrange(deliveries, [], me=ME, max_rooms=5, level=lambda _: Level.SENDER)
    assert isinstance(step, Show)
    assert step.notification.body.splitlines()[0] == "@ Bob in Room 6"
    (step,) = arrange(deliveries, [], me=ME, max_rooms=5, level=lambda _: Level.HIDDEN)
    assert isinstance(step, Show)
    assert step.notification.body.splitlines() == ["Hidden: 7", "All of them: heliograph inbox"]


def test_a_highlight_without_a_sender_is_called_by_its_room() -> None:
    content = make_content("now", room_title="Work", sender_name="", is_highlight=True)
    assert flood(content).notification.body.splitlines()[0] == "@ Work: now"


def test_a_highlight_keeps_its_style() -> None:
    content = make_content("now", room_title="Work", sender_name="Bob", is_highlight=True, markup="<b>now</b>")
    assert flood(content).notification.markup.startswith("@ <b>Bob</b> in Work: <b>now</b>")


def test_where_one_line_is_seen_the_newest_message_stands_first() -> None:
    deliveries = [
        make_delivery(f"${number}", content=make_content(f"message {number}", sender_name=sender))
        for number, sender in enumerate(["Dave", "Alice", "Alice", "Bob", "Carol"])
    ]
    body = only_show(deliveries, layout=GNOME.layout).notification.body
    assert body == ("Carol: message 4 · Bob: message 3 · Alice: message 2 · Alice: message 1 · Also from Dave")


def test_where_one_line_is_seen_a_summary_can_be_read_in_it() -> None:
    many = [
        make_delivery(f"${number}", room_id=f"!{number}:x", content=make_content(room_title=f"Room {number}"))
        for number in range(3)
    ]
    step = only_show(many, max_rooms=2, layout=GNOME.layout)
    assert step.notification.body == f"Room 0: 1 · Room 1: 1 · Room 2: 1 · {WHERE_ALL_ARE}"
