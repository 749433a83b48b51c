"""Addresses of rooms: the right ones for good ids, none for bad ones."""

from __future__ import annotations

import pytest

from heliograph.core.room_uri import Form, room_uri

BAD_ROOM_IDS = [
    "",
    "room",
    "#alias:example.org",
    "@user:example.org",
    "!",
    "!:example.org",
    "!room:",
    "!room:exa mple.org",
    "!ro om:example.org",
    "!room\n:example.org",
    "!room\0:example.org",
    "!\ud800:example.org",
    "!room:example.org/../../x",
    "!room:example.org?action=join",
    "!" + "x" * 255,
    "--help",
]


@pytest.mark.parametrize(
    ("form", "room", "event"),
    [
        (
            Form.MATRIX,
            "matrix:roomid/ab%2Fc:example.org:8448",
            "matrix:roomid/ab%2Fc:example.org:8448/e/x%2Fy%2Bz_-",
        ),
        (
            Form.ELEMENT,
            "element://vector/webapp/#/room/!ab%2Fc:example.org:8448",
            "element://vector/webapp/#/room/!ab%2Fc:example.org:8448/$x%2Fy%2Bz_-",
        ),
        (
            Form.MATRIX_TO,
            "https://matrix.to/#/!ab%2Fc:example.org:8448",
            "https://matrix.to/#/!ab%2Fc:example.org:8448/$x%2Fy%2Bz_-",
        ),
    ],
)
def test_each_form_quotes_what_has_a_meaning_of_its_own(form: Form, room: str, event: str) -> None:
    assert room_uri(form, "!ab/c:example.org:8448") == room
    assert room_uri(form, "!ab/c:example.org:8448", "$x/y+z_-") == event


def test_a_room_id_of_version_12_has_no_server() -> None:
    assert room_uri(Form.MATRIX, "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM") == (
        "matrix:roomid/31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"
    )


def test_letters_beyond_ascii_are_quoted() -> None:
    assert room_uri(Form.MATRIX, "!é&?#%:example.org") == "matrix:roomid/%C3%A9%26%3F%23%25:example.org"


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("room_id", BAD_ROOM_IDS, ids=range(len(BAD_ROOM_IDS)))
def test_what_is_no_room_id_has_no_address(form: Form, room_id: str) -> None:
    assert room_uri(form, room_id) is None


@pytest.mark.parametrize(
    "event_id", ["", "event", "$", "$a b", "$a\x1b", "$" + "x" * 255, "invite:!room:example.org:1"]
)
def test_what_is_no_event_id_leaves_the_room(event_id: str) -> None:
    assert room_uri(Form.MATRIX, "!room:example.org", event_id) == "matrix:roomid/room:example.org"
