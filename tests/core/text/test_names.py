"""Names of strangers: what shows nothing, what looks alike, and when the user id stands in a name's place."""

from __future__ import annotations

import sys
from unicodedata import category, normalize

import pytest

from heliograph.core.text import lookalikes
from heliograph.core.text.lookalikes import alike_key, looks_like_user_id, shows_something
from heliograph.core.text.names import NAME_LIMIT, can_name, name_key, word_member, word_name
from support.builders import ALICE

BLANKS = {
    "nothing": "",
    "blanks": " \t\n\u00a0\u3000\u1680",
    "zero width space": "\u200b\u200b",
    "soft hyphen": "\u00ad",
    "combining grapheme joiner": "\u034f",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "Khmer inherent vowels": "\u17b4\u17b5",
    "Mongolian vowel separator": "\u180e",
    "joiners": "\u200d\u200c",
    "direction overrides": "\u202e\u2066\u061c",
    "word joiner": "\u2060",
    "Braille pattern without dots": "\u2800\u2800",
    "variation selectors": "\ufe0f\ufe0e\U000e0100",
    "byte order mark": "\ufeff",
    "object replacement character": "\ufffc",
    "shorthand format controls": "\U0001bca0",
    "musical controls": "\U0001d173\U0001d159",
    "tag characters": "\U000e0061\U000e0062",
    "an unassigned ignorable": "\U000e0fff",
    "a mark on nothing": "\u0301",
    "private use": "\ue000",
    "all of these together": "\u200b\u3164 \u2800\u034f",
}


@pytest.mark.parametrize("blank", BLANKS.values(), ids=BLANKS.keys())
def test_what_shows_nothing_names_nobody(blank: str) -> None:
    assert not shows_something(blank)
    assert not can_name(blank)
    assert word_member(blank, ALICE, with_id=False) == ALICE
    assert word_name(blank) == "(no name)"


def test_each_ignorable_character_shows_nothing() -> None:
    """Format characters (Cf) are ignorable, but for those that Unicode shows, such as signs before Arabic digits."""
    shown = {chr(code) for code in (*range(0xFFF9, 0xFFFC), *range(0x13430, 0x13440), 0x110BD, 0x110CD)}
    prepended = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2)}
    formats = {chr(code) for code in range(sys.maxunicode + 1) if category(chr(code)) == "Cf"} - shown - prepended
    assert not [f"{ord(each):x}" for each in formats if lookalikes._IGNORABLE.fullmatch(each) is None]


@pytest.mark.parametrize("name", ["Ada", "7", "!", "\U0001f98a", "\u05d3\u05e0\u05d9", "\u3042", "\u200bA", "e\u0301"])
def test_what_shows_something_names_its_owner(name: str) -> None:
    assert shows_something(name)
    assert word_member(name, ALICE, with_id=False) != ALICE


@pytest.mark.parametrize(
    "name",
    [
        "@boss:example.org",
        "Lena (@lena:work.example)",
        "\uff20boss\uff1aexample.org",
        "\ufe6bboss\u2236example.org",
        "@bo\u200bss\u2060:example.org",
        "@boss\ua789example.org",
        "@boss\u202e:example.org",
    ],
)
def test_a_name_that_looks_like_a_user_id_gives_way_to_the_users_own(name: str) -> None:
    assert looks_like_user_id(name)
    assert word_member(name, ALICE, with_id=False) == ALICE


@pytest.mark.parametrize("name", ["Bob @ work", "Bob @ 10:30", "ada@example.org", "a:b", "@ada", "10:30"])
def test_other_names_with_such_signs_do_not(name: str) -> None:
    assert not looks_like_user_id(name)


@pytest.mark.parametrize(
    "other",
    [
        "lena park",
        "L\u0435na P\u0430rk",
        "Lena\u00a0\u00a0Park ",
        "Le\u200bna Park",
        "Le\u0301na Park",
        "\uff2cena Park",
        "\U0001d40bena Park",
        "Iena Park",
        "1ena Park",
        "Lena Park\u3164",
        "\u202aLena Park",
    ],
)
def test_names_that_a_reader_takes_for_one_another_have_one_key(other: str) -> None:
    assert name_key(other) == name_key("Lena Park")


def test_letters_of_other_scripts_look_like_latin_ones() -> None:
    assert alike_key("\u0420\u0430\u0443\u0440\u0430l") == alike_key("Paypal")
    assert alike_key("\u0391\u03bd\u03bf") == alike_key("Avo")
    assert alike_key("0") == alike_key("o") == alike_key("\u041e")
    for ascii_, alike in lookalikes._ALIKE.items():
        assert ascii_.isascii()
        assert len(ascii_) == 1
        assert all(normalize("NFKD", each) == each and not each.isascii() for each in alike)


def test_different_names_have_different_keys() -> None:
    names = ("Lena", "Lina", "Lenas", "\u05d3\u05e0\u05d9", "\u05d3\u05e0", "\U0001f98a", "\U0001f43b")
    assert len({name_key(name) for name in names}) == len(names)


def test_a_long_name_does_not_push_the_user_id_off() -> None:
    assert word_member("A" * 1000, ALICE, with_id=True).endswith(f"\u2026 ({ALICE})")
    assert len(word_member("A" * 1000, ALICE, with_id=True)) < NAME_LIMIT
    assert len(word_member("A" * 1000, ALICE, with_id=False)) == NAME_LIMIT
    assert word_member("Ada\u202e", ALICE, with_id=True) == f"Ada ({ALICE})"
    assert word_member("", "", with_id=True) == "(nobody)"


def test_a_rooms_name_is_one_line() -> None:
    assert word_name(" Tea\nand more ") == "Tea and more"
