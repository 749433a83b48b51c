"""Globs and words, against the specification's words and against a plain implementation of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.core.push.patterns import Glob, Phrase, Work, collapse, fold, is_glob, is_word, phrase_of, words


def _in_whole(pattern: str, text: str) -> bool:
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(letter, re.escape(letter)) for letter in pattern), text, re.DOTALL) is not None


def _between_boundaries(pattern: str, text: str) -> bool:
    def is_word_character(at: int) -> bool:
        return re.match("[A-Za-z0-9_]", text[at]) is not None

    def is_boundary(at: int) -> bool:
        return at in (0, len(text)) or not (is_word_character(at - 1) and is_word_character(at))

    places = [at for at in range(len(text) + 1) if is_boundary(at)]
    return any(_in_whole(pattern, text[i:j]) for i in places for j in places if i <= j)


globs = st.text(st.sampled_from("ab *?é_\n"), max_size=7).filter(is_glob)
literals = st.text(st.sampled_from("ab é_\n"), max_size=4)
texts = st.text(st.sampled_from("ab é_\n"), max_size=9)


@given(globs, texts)
@example("?", "")
@example("a*a", "a")
@example("*a*b*", "b a")
@example("a*b*a", "aa")
def test_a_glob_covers_what_the_plain_implementation_says(pattern: str, text: str) -> None:
    assert Glob(pattern).covers(text, Work()) == _in_whole(pattern, text)


@given(globs, texts)
@example("a?b*b", "aab b")
@example("??a", "ba")
def test_a_glob_occurs_where_the_plain_implementation_says(pattern: str, text: str) -> None:
    assert Glob(pattern).occurs_in(text, Work()) == _between_boundaries(pattern, text)


@given(literals, texts)
@example("aa", "aaa aa")
@example("", "ab")
def test_a_phrase_occurs_where_the_plain_implementation_says(literal: str, text: str) -> None:
    assert Phrase(literal).occurs_in(text, Work()) == _between_boundaries(literal, text)


@given(st.text(st.sampled_from("ab_"), min_size=1, max_size=3), texts)
def test_a_word_is_among_the_words_where_the_plain_implementation_finds_it(word: str, text: str) -> None:
    assert is_word(word)
    assert (word.encode() in words(text)) == _between_boundaries(word, text)


@given(literals, texts)
def test_a_phrase_names_a_word_that_must_be_there(literal: str, text: str) -> None:
    phrase = Phrase(literal)

    if phrase.word is not None and phrase.occurs_in(text, Work()):
        assert phrase.word in words(text)


@pytest.mark.parametrize(
    ("pattern", "result"),
    [("foo", True), ("f_0", True), ("", False), ("foo bar", False), ("@room", False), ("é", False), ("٣", False)],
)
def test_a_word_is_ascii_letters_digits_and_underscores(pattern: str, result: bool) -> None:
    assert is_word(pattern) is result


def test_words_survive_lone_surrogates_and_nul() -> None:
    assert words("a\ud800b\0c") == {b"a", b"b", b"c"}


def test_runs_of_stars_are_one_star() -> None:
    assert collapse("a**?***b") == "a*?*b"


@pytest.mark.parametrize(("letter", "folded"), [("ς", "σ"), ("ſ", "s"), ("µ", "μ"), ("ẛ", "ṡ"), ("ß", "ß"), ("s", "s")])
def test_folding_is_the_simple_case_folding_of_unicode(letter: str, folded: str) -> None:
    assert fold(letter) == folded


def test_a_phrase_of_a_display_name_is_sought_in_lower_case() -> None:
    assert phrase_of("Ann Lee").occurs_in("hi ann lee!", Work())


def test_what_is_spent_is_gone() -> None:
    work = Work(10)

    assert work.spend(10)
    assert not work.spend(1)


@pytest.mark.parametrize("pattern", ["a*", "?", "*", "a?b*c", "b*"])
def test_a_glob_matches_nothing_when_no_work_is_left(pattern: str) -> None:
    assert not Glob(pattern).occurs_in("a axb c", Work(1))
    assert not Glob(pattern).covers("axbc", Work(1))


def test_a_phrase_matches_nothing_when_no_work_is_left() -> None:
    assert not Phrase("a b").occurs_in("a b", Work(1))


def test_a_search_ends_when_its_turns_have_used_up_the_work() -> None:
    text = "b" + "xa" * 1_000 + " a"

    assert Glob("a*").occurs_in(text, Work())
    assert not Glob("a*").occurs_in(text, Work(len(text) + 1_000))


CATASTROPHIC = {
    "stars": "*" * 1_024,
    "stars and letters": "*a" * 500 + "b",
    "question marks": "?" * 1_000 + "b",
    "question marks and letters": "?a" * 500 + "b",
    "question marks and stars": "?*" * 500 + "b",
    "nearly the text": "a" * 500 + "b" + "a" * 500 + "*c",
}


@pytest.mark.parametrize("pattern", CATASTROPHIC.values(), ids=CATASTROPHIC)
@pytest.mark.parametrize("letter", ["a", "ab", "a ", "Σ"])
def test_catastrophic_patterns_do_not_overdraw_their_work_by_more_than_one_search(pattern: str, letter: str) -> None:
    text, work = (letter * 65_536)[:65_536], Work()

    Glob(pattern).occurs_in(text, work)
    Glob(pattern).covers(text, work)

    one_search = len(text) * (1 + len(pattern) // 16) + 100 * (2 + len(pattern))
    assert work.left >= -2 * one_search
