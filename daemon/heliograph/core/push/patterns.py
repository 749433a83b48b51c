"""Matches globs and whole words, in time linear in the text, whatever the pattern.

https://spec.matrix.org/v1.17/appendices/#glob-style-matching: `*` is any run of characters, `?` exactly one, nothing
else is special. Between the stars of a glob stand segments of fixed length, so the leftmost place of each in turn
decides, and nothing is ever tried twice. Texts are sought in lower case: literals by `str.lower`, globs by `fold`.

A place in a text is a word boundary unless it has an ASCII letter, digit or underscore on both sides. So a pattern that
itself begins with another character (`@room`, `:)`) may begin anywhere.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_TEXT = 65_536
"""Code points of a value that are looked at. No event is larger, by the specification's limit in bytes."""
MAX_PATTERN = 1_024
"""Code points of a pattern that is searched for, its runs of stars counted as one."""
WORK = 800_000
"""Units that may be spent on one event. A unit is about the time of one character of a hard search, some 4 ns."""

_WORD_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_WORD_BYTES = bytes(code if chr(code) in _WORD_CHARACTERS else 32 for code in range(256))
_STARS = re.compile(r"\*+")
_FIXED = re.compile(r"[^?]+", re.DOTALL)

# Letters whose simple case folding (Unicode CaseFolding.txt, C and S) is not their lower case.
_FOLDS = tuple(
    zip(
        "\u00b5\u017f\u0345\u03c2\u03d0\u03d1\u03d5\u03d6\u03f0\u03f1\u03f5\u1e9b\u1fbe"
        "\u1c80\u1c81\u1c82\u1c83\u1c84\u1c85\u1c86\u1c87\u1c88",
        "\u03bcs\u03b9\u03c3\u03b2\u03b8\u03c6\u03c0\u03ba\u03c1\u03b5\u1e61\u03b9"
        "\u0432\u0434\u043e\u0441\u0442\u0442\u044a\u0463\ua64b",
        strict=True,
    )
)

_STEP = 100
"""Units of one turn of a loop of ours."""


class Work:
    """What is left to spend on one event. When it is overdrawn, whatever costs more does not match.

    A budget of work, and no clock: so what a hostile event or ruleset leaves nothing for is the same on every machine.
    `tests/benchmarks` shows what the budget is in time.
    Test: test_a_hostile_event_still_meets_the_rules_that_cost_nothing.
    """

    __slots__ = ("left",)

    def __init__(self, units: int = WORK) -> None:
        self.left = units

    def spend(self, units: int) -> bool:
        """Take the units; False if there were not enough."""
        self.left -= units
        return self.left >= 0


def fold(lowered: str) -> str:
    """Folds the case of a text that is in lower case: its final sigma becomes a sigma, its long s an s."""
    if not lowered.isascii():
        for letter, folded in _FOLDS:
            lowered = lowered.replace(letter, folded)
    return lowered


def is_glob(pattern: str) -> bool:
    """True if the pattern has wildcards."""
    return "*" in pattern or "?" in pattern


def collapse(pattern: str) -> str:
    """The pattern with one star for each run of stars, which means the same."""
    return _STARS.sub("*", pattern)


def is_word(pattern: str) -> bool:
    """True if the pattern is one whole word, to be looked up among `words`."""
    return bool(pattern) and _WORD_CHARACTERS.issuperset(pattern)


def words(text: str) -> frozenset[bytes]:
    """The text's runs of ASCII letters, digits and underscores."""
    # Letters beyond ASCII become "?", which parts words: to the specification they are no word characters.
    return frozenset(text.encode("ascii", "replace").translate(_WORD_BYTES).split())


def _is_boundary(text: str, at: int) -> bool:
    return not (0 < at < len(text) and text[at - 1] in _WORD_CHARACTERS and text[at] in _WORD_CHARACTERS)


class _Segment:
    """A run of characters and question marks. Its longest fixed piece is searched for, the others compared there."""

    __slots__ = ("length", "offset", "others", "piece", "step")

    def __init__(self, length: int, pieces: list[tuple[int, str]]) -> None:
        self.length = length
        # The longest piece is the rarest: the fewer its places, the less there is to compare.
        self.offset, self.piece = max(pieces, key=lambda piece: len(piece[1]), default=(0, ""))
        self.others = tuple(piece for piece in pieces if piece[0] != self.offset)
        self.step = _STEP * (1 + len(self.others)) + len(self.piece) // 4

    @classmethod
    def of_glob(cls, text: str) -> _Segment:
        return cls(len(text), [(match.start(), match.group()) for match in _FIXED.finditer(text)])

    def stands_at(self, text: str, at: int) -> bool:
        """True if the text has the segment at this very place. The caller sees to it that there is room for it."""
        return text.startswith(self.piece, at + self.offset) and all(
            text.startswith(piece, at + offset) for offset, piece in self.others
        )

    def find(self, text: str, start: int, work: Work, *, from_boundary: bool, to_boundary: bool) -> int:
        """Where the leftmost such segment at or after `start` ends, or -1."""
        at = text.find(self.piece, start + self.offset)
        while at >= 0:
            begin = at - self.offset
            end = begin + self.length
            work.left -= self.step
            if end > len(text) or work.left < 0:
                return -1
            if (
                (not from_boundary or _is_boundary(text, begin))
                and (not to_boundary or _is_boundary(text, end))
                and all(text.startswith(piece, begin + offset) for offset, piece in self.others)
            ):
                return end
            # One further on, since occurrences may overlap.
            at = text.find(self.piece, at + 1)
        return -1


def _weight(piece: str) -> int:
    # In some ranges of lengths str.find may compare a good part of a long needle at each character.
    return 1 + len(piece) // 16


class Phrase:
    """A literal to be found between word boundaries. It is given, and sought, in lower case."""

    __slots__ = ("_segment", "_weight", "literal", "word")

    def __init__(self, literal: str) -> None:
        self.literal = literal
        self._segment = _Segment(len(literal), [(0, literal)])
        self._weight = _weight(literal)
        self.word = max(words(literal), key=len, default=None)
        """A whole word that any text has in which the phrase occurs; None if the phrase has no word."""

    def occurs_in(self, lowered: str, work: Work) -> bool:
        """True if the literal stands in the text from a boundary to a boundary."""
        work.left -= len(lowered) * self._weight
        # `in` first: far faster than looking for boundaries, and most texts do not have the phrase.
        if work.left < 0 or self.literal not in lowered:
            return False
        return self._segment.find(lowered, 0, work, from_boundary=True, to_boundary=True) >= 0


class Glob:
    """A pattern with wildcards. It is sought in folded texts."""

    __slots__ = ("_longest", "_segments", "_weight")

    def __init__(self, pattern: str) -> None:
        self._segments = tuple(_Segment.of_glob(text) for text in collapse(fold(pattern.lower())).split("*"))
        self._longest = max((segment.piece for segment in self._segments), key=len)
        self._weight = _weight(self._longest)

    def covers(self, folded: str, work: Work) -> bool:
        """True if the pattern matches the whole text."""
        work.left -= len(folded) * self._weight
        if work.left < 0 or self._longest not in folded:
            return False
        work.left -= _STEP * len(self._segments)
        first, last = self._segments[0], self._segments[-1]
        if first is last:
            return len(folded) == first.length and first.stands_at(folded, 0)
        # Both ends are fixed and cheap to compare, and most texts fail there before anything is searched for.
        limit = len(folded) - last.length
        if limit < first.length or not first.stands_at(folded, 0) or not last.stands_at(folded, limit):
            return False
        at = first.length
        for segment in self._segments[1:-1]:
            at = segment.find(folded, at, work, from_boundary=False, to_boundary=False)
            if not 0 <= at <= limit:
                return False
        return True

    def occurs_in(self, folded: str, work: Work) -> bool:
        """True if the pattern matches some part of the text from a boundary to a boundary."""
        work.left -= len(folded) * self._weight
        if work.left < 0 or self._longest not in folded:
            return False
        work.left -= _STEP * len(self._segments)
        first, last = self._segments[0], self._segments[-1]
        at = 0
        for segment in self._segments:
            at = segment.find(folded, at, work, from_boundary=segment is first, to_boundary=segment is last)
            if at < 0:
                return False
        return True


@lru_cache(maxsize=256)
def phrase_of(text: str) -> Phrase:
    """The phrase for a text that comes with the event's context, a display name. Kept, as names repeat."""
    return Phrase(text.lower())
