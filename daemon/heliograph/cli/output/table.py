"""Lays out tables for a terminal: columns as wide as their cells, the last one cut off at the terminal's edge."""

from __future__ import annotations

import datetime
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from heliograph.core.text.cutting import ELLIPSIS

_GAP = "  "
_DAY_MS = 24 * 3_600_000


def lay_out(rows: Iterable[Sequence[str]], width: int | None = None) -> Iterator[str]:
    """The rows as lines of at most `width` columns; None: nothing is cut off."""
    table = [list(row) for row in rows]
    if not table:
        return
    widths = [max(map(columns_of, column)) for column in zip(*table, strict=True)]
    for row in table:
        line = _GAP.join(cell + " " * (size - columns_of(cell)) for cell, size in zip(row, widths, strict=True))
        yield _cut(line.rstrip(), width) if width else line.rstrip()


def terminal_width() -> int | None:
    """The number of columns of the terminal; None: standard output is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns_of(text: str) -> int:
    """The number of columns that a text takes in a terminal: wide characters take two."""
    return sum(_width(character) for character in text)


def word_time(ms: int, now_ms: int) -> str:
    """A time (ms since 1970) as the time of day, or with the weekday, or as a date: as short as is unambiguous."""
    try:
        moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return "?"
    if 0 <= now_ms - ms < _DAY_MS / 2:
        return f"{moment:%H:%M}"
    return f"{moment:%a %H:%M}" if 0 <= now_ms - ms < 6 * _DAY_MS else f"{moment:%Y-%m-%d}"


def _cut(line: str, width: int) -> str:
    if columns_of(line) <= width:
        return line
    # The last column is for the ellipsis.
    room = width - 1
    kept = ""
    for character in line:
        room -= _width(character)
        if room < 0:
            break
        kept += character
    return kept.rstrip() + ELLIPSIS


def _width(character: str) -> int:
    # Drawn over the character before it.
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
