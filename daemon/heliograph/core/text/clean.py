"""Cleans texts of strangers: removes control characters and direction overrides, and bounds the length.

U+202E in a display name reverses the whole notification on every server that was tried, and a long body hangs
mate-notification-daemon for good. Joiners (U+200C, U+200D) stay, since Persian and emoji need them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from heliograph.core.text.cutting import ellipsis_after, shorten_text

_LINE_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_UNFIT = re.compile(
    "["
    "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f"  # controls, NUL and ESC among them; tab and newline are treated apart
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks and overrides
    "\u00ad\u200b\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible
    "\ufffe\uffff"
    "]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_MARK = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_STACKED_MARKS = re.compile(f"({_MARK}{{4}}){_MARK}+")
_BLANKS = re.compile(r"[^\S\n]+")

_TAB = 4
MAX_INDENTATION = 24
"""Spaces. More would push the words off a popup."""

_SLACK = 8
"""A text is cut to so many times its limit before it is cleaned. Cleaning may remove much of it, but for one line a
megabyte need not be read."""


def clean_line(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters, without blanks at its ends. May be empty."""
    cleaned = _clean(text, limit)
    return shorten_text(" ".join(cleaned.split()), limit, at_sentence=False)


def clean_text(text: str, limit: int, lines: int = 10) -> str:
    """The text in at most `limit` characters and `lines` lines, without two empty lines in a row or blanks at line
    ends. Lines are indented as in the text, if only some of them are: code is hard to read without. May be empty."""
    kept: list[str] = []
    for line in _dedent([_indented(line) for line in _clean(text, limit).split("\n")]):
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    if len(kept) > lines:
        kept = [*kept[: lines - 1], kept[lines - 1] + ellipsis_after(kept[lines - 1])]
    # Once more, since the line that was indented least may have been cut off.
    return "\n".join(_dedent(shorten_text("\n".join(kept), limit).split("\n")))


def clean_inline(text: str, limit: int) -> str:
    """A piece of a text that goes on before and after it. Several blanks become one; line breaks and blanks at the ends
    stay. Cut to as much as a text of at most `limit` characters can need.
    """
    return _BLANKS.sub(" ", _clean(text, limit))


def clean_preformatted(text: str, limit: int) -> list[str]:
    """The lines of a piece of a text whose lines are indented on purpose: as `clean_inline`, but the blanks with which
    a line begins stay, as spaces."""
    return [indentation(line) + _BLANKS.sub(" ", line.lstrip()) for line in _clean(text, limit).split("\n")]


def indentation(line: str) -> str:
    """The blanks with which the line begins, as spaces."""
    blanks = line[: len(line) - len(line.lstrip())]
    return " " * len(blanks.expandtabs(_TAB))


def count_things(number: int, one: str, several: str = "") -> str:
    """`1 account`, `2 accounts`. `several` is the plural, if that is more than an added "s"."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def _clean(text: str, limit: int) -> str:
    text = text[: limit * _SLACK]
    # Most texts are so, and the expressions below take most of the time.
    if text.isascii() and text.isprintable():
        return text
    # Line breaks first: some are control characters, which the next line removes.
    text = _LINE_BREAKS.sub("\n", text)
    text = _UNFIT.sub("", text)
    text = _SURROGATES.sub("\ufffd", text)
    return _STACKED_MARKS.sub(r"\1", text)


def _indented(line: str) -> str:
    words = " ".join(line.split())
    return indentation(line) + words if words else ""


def _dedent(lines: Sequence[str]) -> list[str]:
    """The lines without the indentation that they all have, and without too much of the rest."""
    depths = [len(line) - len(line.lstrip(" ")) for line in lines]
    least = min((depth for depth, line in zip(depths, lines, strict=True) if line), default=0)
    return [" " * min(depth - least, MAX_INDENTATION) + line[depth:] for depth, line in zip(depths, lines, strict=True)]
