"""Long texts end where a reader would pause, and no character is torn apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.text.cutting import ELLIPSIS, find_end, shorten_text

CHARACTERS = (
    *(
        "a",
        "Z",
        "7",
        " ",
        "\n",
        ".",
        "世",
        "é",
        "e\u0301",
        "👍",
        "👍🏽",
        "👩\u200d🚀",
        "👨\u200d👩\u200d👧\u200d👦",
        "🏳\ufe0f\u200d🌈",
    ),
    *("🇩🇪", "🇫🇷", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "1\ufe0f\u20e3"),
    *("क्षि", "नि", "กำ", "ນຳ", "\u1112\u1161\u11ab", "한", "ｶ\uff9e", "ی\u200c", "\u06001"),
)
"""What a reader sees as one character each. In any order they stay apart (Unicode Standard Annex 29)."""
TEXTS = st.lists(st.sampled_from(CHARACTERS), max_size=80)
LIMITS = st.integers(1, 60)


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("Lunch at noon. Bring the green folder.", 28, "Lunch at noon. …"),
        ("Lunch at noon! Bring the folder. And a pen, please.", 40, "Lunch at noon! Bring the folder. …"),
        ("Is it noon already, or is it not? I am hungry.", 40, "Is it noon already, or is it not? …"),
        ("She asked (was it noon?). He said that nobody knew.", 34, "She asked (was it noon?). …"),
        ("First the list of things\nthen all the rest of them", 40, "First the list of things…"),
        ("The first line ends.\nThe second is cut off here", 30, "The first line ends. …"),
        ("At noon, e.g. at the pier where we met", 24, "At noon, e.g. at the…"),
        ("See points 1. 2. and 3. of the list", 28, "See points 1. 2. and 3. of…"),
        ("Version 1.2.3 of the program is out", 20, "Version 1.2.3 of…"),
        ("今日は雨です。明日は晴れるでしょう。", 12, "今日は雨です。…"),
        ("कल बारिश होगी। परसों धूप निकलेगी और गर्मी होगी", 25, "कल बारिश होगी। …"),
        ("A sentence that is longer than all of the limit", 20, "A sentence that is…"),
        ("Well… perhaps it is so, and perhaps not", 9, "Well…"),
        ("Hm https://example.org/a/very/long/address", 18, "Hm https://exampl…"),
        ("short", 5, "short"),
        ("short.", 5, "shor…"),
        ("so, so. so", 8, "so, so.…"),
        ("short", 1, "…"),
    ],
)
def test_a_text_is_cut_behind_a_sentence_else_behind_a_word(text: str, limit: int, cut: str) -> None:
    assert shorten_text(text, limit) == cut


def test_a_name_is_cut_behind_a_word_whatever_dots_it_has() -> None:
    name = "Prof. Dr. med. dent. Alice of the harbour"
    assert shorten_text(name, 30, at_sentence=False) == "Prof. Dr. med. dent. Alice of…"


@given(TEXTS, LIMITS, st.booleans())
def test_no_character_is_torn_apart(characters: list[str], limit: int, at_sentence: bool) -> None:
    text = "".join(characters)
    cut = shorten_text(text, limit, at_sentence=at_sentence)
    if cut == text:
        return
    kept = text[: find_end(text, limit, at_sentence=at_sentence)[0]]
    edges = {"".join(characters[:count]).rstrip() for count in range(len(characters) + 1)}
    assert kept in edges


@given(st.one_of(TEXTS.map("".join), st.text(max_size=120)), LIMITS, st.booleans())
def test_a_cut_text_is_within_its_limit_and_is_not_cut_again(text: str, limit: int, at_sentence: bool) -> None:
    cut = shorten_text(text, limit, at_sentence=at_sentence)
    assert len(cut) <= limit
    assert cut == text or cut.endswith(ELLIPSIS)
    assert shorten_text(cut, limit, at_sentence=at_sentence) == cut
    assert text.startswith(cut.removesuffix(ELLIPSIS).rstrip())


@given(st.lists(st.sampled_from(["a", "bc", "def", "g."]), min_size=40), st.integers(12, 40))
def test_no_word_that_is_shorter_than_half_of_all_is_torn_apart(words: list[str], limit: int) -> None:
    kept = shorten_text(" ".join(words), limit).removesuffix(ELLIPSIS).rstrip()
    assert kept.split() == words[: len(kept.split())]


@pytest.mark.parametrize(
    "stem", ["a\u200d", "🇩", "ก\u0e34", "\u1112\u1161", "क्", "e\u0301\u0301\u0301", ".", "“", "a."]
)
def test_an_endless_character_ends_all_the_same(stem: str) -> None:
    assert len(shorten_text(stem * 20_000, 600)) <= 600
