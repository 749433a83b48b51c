from __future__ import annotations

from heliograph.core.hook import hook_environment
from heliograph.core.notification import Category
from support.builders import ALICE, ME, ROOM, make_content, make_delivery


def test_a_message_is_told_in_variables() -> None:
    content = make_content("lunch?\nnow?", is_highlight=True, sound="default")
    assert hook_environment(ME, make_delivery("$1", content=content, thread_root="$root")) == {
        "HELIOGRAPH_ACCOUNT": ME,
        "HELIOGRAPH_KIND": "message",
        "HELIOGRAPH_ROOM_ID": ROOM,
        "HELIOGRAPH_ROOM": "Lunch",
        "HELIOGRAPH_EVENT_ID": "$1",
        "HELIOGRAPH_SENDER_ID": ALICE,
        "HELIOGRAPH_SENDER": "Alice",
        "HELIOGRAPH_TEXT": "lunch?\nnow?",
        "HELIOGRAPH_HIGHLIGHT": "1",
        "HELIOGRAPH_DIRECT": "0",
        "HELIOGRAPH_SOUND": "default",
        "HELIOGRAPH_THREAD": "$root",
    }


def test_an_invite_has_no_event_id() -> None:
    content = make_content("Invited you", category=Category.INVITE, is_direct=True)
    found = hook_environment(ME, make_delivery("invite:!room:example.org:0", content=content))
    assert found is not None
    assert (found["HELIOGRAPH_KIND"], found["HELIOGRAPH_EVENT_ID"]) == ("invite", "")
    assert (found["HELIOGRAPH_DIRECT"], found["HELIOGRAPH_SOUND"], found["HELIOGRAPH_THREAD"]) == ("1", "", "")


def test_what_was_taken_back_is_not_told() -> None:
    assert hook_environment(ME, make_delivery(content=None)) is None


def test_hostile_values_are_short_and_hold_nothing_that_an_environment_refuses() -> None:
    evil = "\0\ud800\x1b[2J=\n" * 100_000
    delivery = make_delivery(
        f"${evil}",
        room_id=evil,
        sender=evil,
        thread_root=evil,
        content=make_content(evil, room_title=evil, sender_name=evil, sound=evil),
    )
    found = hook_environment(evil, delivery)
    assert found is not None
    for name, value in found.items():
        assert "\0" not in value
        assert "\x1b" not in value
        value.encode()
        assert len(value) <= (4000 if name == "HELIOGRAPH_TEXT" else 255)
        assert "\n" not in value or name == "HELIOGRAPH_TEXT"
