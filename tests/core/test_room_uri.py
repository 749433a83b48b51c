"""Addresses of rooms: the right ones for good ids, none for bad ones."""

from __future__ import annotations

import pytest

from heliograph.core.room_uri import AddressForm, EventAddress, read_event_address, room_uri

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
            AddressForm.MATRIX,
            "matrix:roomid/ab%2Fc:example.org:8448",
            "matrix:roomid/ab%2Fc:example.org:8448/e/x%2Fy%2Bz_-",
        ),
        (
            AddressForm.ELEMENT,
            "element://vector/webapp/#/room/!ab%2Fc:example.org:8448",
            "element://vector/webapp/#/room/!ab%2Fc:example.org:8448/$x%2Fy%2Bz_-",
        ),
        (
            AddressForm.MATRIX_TO,
            "https://matrix.to/#/!ab%2Fc:example.org:8448",
            "https://matrix.to/#/!ab%2Fc:example.org:8448/$x%2Fy%2Bz_-",
        ),
    ],
)
def test_each_form_quotes_what_has_a_meaning_of_its_own(form: AddressForm, room: str, event: str) -> None:
    assert room_uri(form, "!ab/c:example.org:8448") == room
    assert room_uri(form, "!ab/c:example.org:8448", "$x/y+z_-") == event


def test_a_room_id_of_version_12_has_no_server() -> None:
    assert room_uri(AddressForm.MATRIX, "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM") == (
        "matrix:roomid/31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"
    )


def test_letters_beyond_ascii_are_quoted() -> None:
    assert room_uri(AddressForm.MATRIX, "!é&?#%:example.org") == "matrix:roomid/%C3%A9%26%3F%23%25:example.org"


@pytest.mark.parametrize("form", AddressForm)
@pytest.mark.parametrize("room_id", BAD_ROOM_IDS, ids=range(len(BAD_ROOM_IDS)))
def test_what_is_no_room_id_has_no_address(form: AddressForm, room_id: str) -> None:
    assert room_uri(form, room_id) is None


@pytest.mark.parametrize(
    "event_id", ["", "event", "$", "$a b", "$a\x1b", "$" + "x" * 255, "invite:!room:example.org:1"]
)
def test_what_is_no_event_id_leaves_the_room(event_id: str) -> None:
    assert room_uri(AddressForm.MATRIX, "!room:example.org", event_id) == "matrix:roomid/room:example.org"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("$event", EventAddress("$event")),
        ("$old:example.org", EventAddress("$old:example.org")),
        ("matrix:roomid/room%3Aexample.org/e/event?via=x", EventAddress("$event", "!room:example.org")),
        ("MATRIX:roomid/room:example.org/event/event", EventAddress("$event", "!room:example.org")),
        ("matrix:r/lunch:example.org/e/event", EventAddress("$event", "#lunch:example.org")),
        ("https://matrix.to/#/!room:example.org/$event?via=a&via=b", EventAddress("$event", "!room:example.org")),
        ("https://matrix.to/#/%21room%3Aexample.org/%24event", EventAddress("$event", "!room:example.org")),
        ("https://matrix.to/#/#lunch:example.org/$event", EventAddress("$event", "#lunch:example.org")),
        ("https://app.example.org/#/room/!room/$event", EventAddress("$event", "!room")),
    ],
)
def test_an_address_of_an_event_is_read_as_it_is_copied(text: str, address: EventAddress) -> None:
    assert read_event_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$",
        "$two words",
        "$" + "x" * 300,
        "event",
        "@me:example.org",
        "!room:example.org",
        "matrix:u/me:example.org",
        "matrix:roomid/room:example.org",
        "matrix:roomid/room:example.org/x/event",
        "matrix:r/lunch/e/event",
        "matrix:",
        "https://matrix.to/#/!room:example.org",
        "https://matrix.to/#/!room:example.org/",
        "https://matrix.to/#/@me:example.org/$event",
        "https://matrix.to/",
        "/#/\ud800/$event",
    ],
)
def test_what_is_no_address_of_an_event_is_none(text: str) -> None:
    assert read_event_address(text) is None


@pytest.mark.parametrize("form", [AddressForm.MATRIX, AddressForm.ELEMENT, AddressForm.MATRIX_TO])
def test_an_address_that_is_made_can_be_read(form: AddressForm) -> None:
    uri = room_uri(form, "!a/b?c:example.org", "$d/e?f")
    assert uri is not None
    assert read_event_address(uri) == EventAddress("$d/e?f", "!a/b?c:example.org")
