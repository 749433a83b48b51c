"""Cuts a long text where that reads well: behind a sentence, else behind a word, and never within a character.

A character is what a reader sees as one: an emoji of several people, a flag, a letter with its accents. Source:
Unicode Standard Annex 29, "Grapheme Cluster Boundaries". Python has only some of its tables, so that where these are
missing characters rather count as joined: this may cut a little earlier than needed.
"""

from __future__ import annotations

import re
import unicodedata

ELLIPSIS = "…"

_CLOSERS = "\"')\\]”’»%"
_MARKS = ".!?…؟۔।"
_SENTENCE_END = re.compile(
    # Two letters at least before the mark: "e.g." and "1." end no sentence.
    f"(?<=[^\\s{_MARKS}][^\\s{_MARKS}])[{_MARKS}][{_MARKS}{_CLOSERS}]*(?=\\s)|[。！？][」』）]*|(?=\n)"
)
_SET_APART = re.compile(f"[{_MARKS}{_CLOSERS}]")
"""After these an ellipsis stands apart; after a word it follows at once."""

_FOLLOWERS = re.compile(
    "["
    "\u0e33\u0eb3"  # vowels of Thai and Lao that belong to the letter before
    "\u1160-\u11ff\ud7b0-\ud7fb"  # Korean vowels and final consonants
    "\u200c\u200d\uff9e\uff9f"  # joiners, and voice marks of halfwidth Japanese
    "\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"  # skin tones, and the letters within flags of regions
    "]"
)
_LEADERS = re.compile(
    "["
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # signs before numbers
    # signs before letters
    "\u0d4e\U000111c2\U000111c3\U0001193f\U00011941\U00011a3a\U00011a84-\U00011a89\U00011d46\U00011f02"
    "\u1100-\u115f\ua960-\ua97c"  # Korean first consonants
    "\u200d"
    "]"
)
_VIRAMA = 9
"""The combining class of the signs that join consonants, in Hindi and its relatives."""
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
"""Two of these make the flag of a country."""


def shorten_text(text: str, limit: int, *, at_sentence: bool = True) -> str:
    """The text in at most `limit` characters (1 or more), with an ellipsis if something was cut off."""
    if len(text) <= limit:
        return text
    length, ending = find_end(text, limit, at_sentence=at_sentence)
    return text[:length] + ending


def find_end(text: str, limit: int, *, at_sentence: bool = True) -> tuple[int, str]:
    """For a text longer than `limit` characters: how many of them stay, and the ellipsis that follows. Both together
    are no longer than `limit`.

    About half of the limit is used at least: a longer sentence is cut behind a word, and a longer word within.
    `at_sentence`: False for names and titles, which have dots that end nothing.
    """
    least, most = limit // 2, limit - len(ELLIPSIS)
    # Behind a sentence the ellipsis needs a blank before it.
    end = _sentence_end(text, least, most - 1) if at_sentence else None
    if end is None:
        end = _word_end(text, least, most)
    if end is None:
        end = next((place for place in range(most, 0, -1) if _is_edge(text, place)), 0)
    length = len(text[:end].rstrip())
    return length, ellipsis_after(text[:length])[-(limit - length) :]


def ellipsis_after(text: str) -> str:
    """What to put behind a text that was cut: nothing if it ends in an ellipsis already."""
    if text.endswith(ELLIPSIS):
        return ""
    return f" {ELLIPSIS}" if _SET_APART.fullmatch(text[-1:]) else ELLIPSIS


def _sentence_end(text: str, least: int, most: int) -> int | None:
    # The character behind the end is looked at, too.
    ends = (match.end() for match in _SENTENCE_END.finditer(text, 0, most + 1))
    return max((end for end in ends if least <= end <= most and _is_edge(text, end)), default=None)


def _word_end(text: str, least: int, most: int) -> int | None:
    end = max(text.rfind(blank, least, most + 1) for blank in " \n")
    return end if end > 0 else None


def _is_edge(text: str, place: int) -> bool:
    """Whether one character ends and another begins at this place, which is neither of the text's ends."""
    before, after = text[place - 1], text[place]
    if after in " \n":
        return True
    if _LEADERS.match(before) or unicodedata.combining(before) == _VIRAMA:
        return False
    if _FOLLOWERS.match(after) or unicodedata.category(after).startswith("M"):
        return False
    if after in _FLAG_LETTERS:
        return (place - len(text[:place].rstrip(_FLAG_LETTERS))) % 2 == 0
    return True
