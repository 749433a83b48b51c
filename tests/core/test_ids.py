"""What an id is, which may stand in a filter, and that keys of our own are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from heliograph.core.ids import (
    MAX_ID,
    NO_ROOM,
    NOBODY,
    EventId,
    event_key,
    fits_filter,
    is_event_id,
    is_room_id,
    is_user_id,
    own_key,
)

HASH = "A" * 41 + "-_"


@pytest.mark.parametrize(
    "room_id",
    [
        "!a:example.org",
        "!a:localhost",
        "!a:example.org:8448",
        "!a:127.0.0.1:80",
        "!a:[::1]",
        "!a:[2001:db8::1]:8448",
        "!:example.org",
        "!ü /?#%:example.org",
        f"!{HASH}",
        "!" + "a" * (MAX_ID - 9) + ":abc.org",
    ],
)
def test_a_filter_may_name_rooms_as_homeservers_make_them(room_id: str) -> None:
    assert is_room_id(room_id)
    assert fits_filter(room_id)


@pytest.mark.parametrize(
    "room_id",
    [
        "!:",
        "!nothing",
        "!" + HASH[:-1],
        f"!{HASH}A",
        f"!{HASH}\n",
        f"!{HASH[:-1]}+",
        "!x:in_valid",
        "!x:y:z",
        "!x:e..x",
        "!x:.e",
        "!x:e.",
        "!x:e ",
        "!x:e\n",
        "!x:é.org",
        "!x:e:",
        "!x:e:123456",
        "!x:e:8:8",
        "!x:e:+8",
        "!x:e:\u0668",
        "!x:[::1",
        "!x:[]",
        "!x:[:::]",
        "!x:[::1%eth0]",
        "!x:::1",
        "!" + "é" * 125 + ":abc.org",
    ],
)
def test_a_room_may_have_an_id_that_no_filter_takes(room_id: str) -> None:
    assert is_room_id(room_id)
    assert not fits_filter(room_id)


IS_ID: dict[str, Callable[[object], bool]] = {"!": is_room_id, "$": is_event_id, "@": is_user_id}


@pytest.mark.parametrize("sigil", IS_ID)
def test_an_id_is_a_short_text_after_its_sigil(sigil: str) -> None:
    is_id = IS_ID[sigil]
    assert is_id(f"{sigil}a:b")
    assert is_id(f"{sigil}é /?:b")
    assert is_id(sigil + "é" * (MAX_ID - 3) + ":b")
    for text in ("", sigil, "a:b", f" {sigil}a:b", f"{sigil}a\0:b", f"{sigil}a\ud800:b", sigil + "a" * MAX_ID, None, 5):
        assert not is_id(text)
    for other in IS_ID.keys() - {sigil}:
        assert not is_id(f"{other}a:b")


def test_a_user_id_names_a_server() -> None:
    assert not is_user_id("@alice")


def test_a_key_of_our_own_is_no_id() -> None:
    for key in (own_key("invite", "!room:example.org:0"), own_key("start", "abc"), NO_ROOM, NOBODY):
        assert not is_event_id(key)
        assert not is_room_id(key)
        assert not is_user_id(key)
        assert event_key(key) == key
    assert event_key("$event") == EventId("$event")
