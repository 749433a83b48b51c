"""How much of a message is shown and kept."""

from __future__ import annotations

from heliograph.core.notification import Category
from heliograph.core.popups.privacy import Level, Privacy, reduce
from support.builders import ALICE, ROOM, make_content, make_delivery


def test_by_default_everything_is_shown() -> None:
    assert Privacy().level({ROOM}) is Level.FULL
    assert Privacy().level({ROOM}, is_locked=True) is Level.FULL


def test_a_room_has_a_level_of_its_own_and_the_strictest_if_it_is_named_twice() -> None:
    rooms = {Level.FULL: frozenset({ROOM}), Level.SENDER: frozenset({ALICE}), Level.HIDDEN: frozenset({"!secret"})}
    privacy = Privacy(Level.SENDER, rooms=rooms)
    assert privacy.level({ROOM}) is Level.FULL
    assert privacy.level({"!x"}) is Level.SENDER
    assert privacy.level({ROOM, ALICE}) is Level.SENDER
    assert privacy.level({"!secret", ALICE}) is Level.HIDDEN


def test_a_rooms_name_shows_nothing_that_is_hidden() -> None:
    rooms = {Level.FULL: frozenset({ROOM, "Lunch"}), Level.HIDDEN: frozenset({"Therapy"})}
    privacy = Privacy(Level.SENDER, rooms=rooms)
    for title in ("Lunch", ROOM):
        assert privacy.level({"!stranger:x"}, title) is Level.SENDER
    assert privacy.level({ROOM}, "Therapy") is Level.HIDDEN
    strict = Privacy(Level.SENDER, rooms={Level.FULL: frozenset({ROOM}), Level.SENDER: frozenset({"Lunch"})})
    assert strict.level({ROOM}, "Lunch") is Level.SENDER


def test_a_locked_screen_shows_less_and_never_more() -> None:
    privacy = Privacy(Level.FULL, Level.SENDER, {Level.HIDDEN: frozenset({ROOM})})
    assert privacy.level({"!x"}, is_locked=True) is Level.SENDER
    assert privacy.level({ROOM}, is_locked=True) is Level.HIDDEN


def test_what_is_not_shown_is_not_kept() -> None:
    content = make_content("secret", markup="<b>secret</b>", avatar="mxc://x/y", thread="secret, too")
    assert reduce(content, Level.FULL) is content
    assert reduce(content, Level.SENDER) == make_content("New message", avatar="mxc://x/y", thread="")
    assert reduce(content, Level.HIDDEN) == make_content("New message", thread="")
    assert reduce(make_content("x"), Level.HIDDEN).thread is None


def test_a_delivery_goes_by_its_room_that_rooms_name_and_its_sender() -> None:
    for name in (ROOM, "Lunch", ALICE):
        privacy = Privacy(rooms={Level.SENDER: frozenset({name})}, locked=Level.HIDDEN)
        delivery = make_delivery(sender=ALICE, content=make_content(room_title="Lunch"))
        assert privacy.level_of(delivery) is Level.SENDER
        assert privacy.level_of(delivery, is_locked=True) is Level.HIDDEN


def test_a_word_of_our_own_and_what_is_erased_hide_nothing() -> None:
    privacy = Privacy(Level.HIDDEN, Level.HIDDEN)
    for delivery in (make_delivery("start:1", room_id=""), make_delivery(content=None)):
        assert privacy.level_of(delivery, is_locked=True) is Level.FULL


def test_that_somebody_calls_is_told_by_our_own_words() -> None:
    call = make_content("Incoming call", category=Category.CALL, avatar="mxc://x/y")
    assert reduce(call, Level.SENDER) == call
    assert reduce(call, Level.HIDDEN) == make_content("Incoming call", category=Category.CALL)
