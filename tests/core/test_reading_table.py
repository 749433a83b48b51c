"""The table of docs/reading.md, combination by combination."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.core.reading import MAIN, Candidate, Counts, Mark, read_by, unplaced, weave

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"
TIMELINE = ("main 1", "thread 1", "main 2", "other 1", "locked 1", "mark", "main 3", "thread 2")
KNOWN = [name for name in TIMELINE if name != "mark"]
OLD = "older than all known"

KINDS = ("public", "private")
THREADS = ("none", "main", "thread")
TARGETS = ("known", "a reaction", "an edit", "a state event", "of a filtered type", OLD, "unknown")
ROOMS = ("plain", "encrypted")
COUNTS = {
    "0": Counts(0, {}, is_sound=True),
    "above 0": Counts(3, {"thread": 2, "other": 1}, is_sound=True),
    "by thread": Counts(0, {"thread": 2, "other": 0}, is_sound=True),
    "absent": Counts(None, {}, is_sound=True),
    "never counted": Counts(0, {}, is_sound=False),
}
COMBINATIONS = list(itertools.product(KINDS, THREADS, TARGETS, ROOMS, COUNTS))


@functools.cache
def _rows() -> list[list[str]]:
    lines = PAGE.read_text().partition("| receipt | thread |")[2].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def _expected(combination: tuple[str, ...]) -> Iterator[set[str]]:
    """What each row for this combination says is read."""
    for *cells, read in _rows():
        if all(cell == "any" or each in cell.split(", ") for cell, each in zip(cells, combination, strict=True)):
            yield set() if read == "nothing" else set(read.split(", "))


def _thread(name: str) -> str:
    kind = name.partition(" ")[0]
    return kind if kind in ("thread", "other") else MAIN


@pytest.mark.parametrize("combination", COMBINATIONS, ids=" / ".join)
def test_each_combination_of_the_table_reads_what_its_row_says(combination: tuple[str, ...]) -> None:
    _, thread, target, room, count = combination
    candidates = [
        Candidate(name, _thread(name), is_countable=room == "plain" and not name.startswith("locked")) for name in KNOWN
    ]
    mark = Mark("mark", None if thread == "none" else thread, is_untold=target == "unknown")
    places = {name: (0, float(place)) for place, name in enumerate(TIMELINE) if target == "known" or name != "mark"}
    if target != "known":
        assert unplaced([mark], candidates, places) == ("mark",)
    if target not in ("known", "unknown"):
        places = weave(places, ["mark", *KNOWN] if target == OLD else TIMELINE)
    assert [set(read_by([mark], candidates, places, COUNTS[count]))] == list(_expected(combination))


def test_the_table_has_no_row_for_anything_else() -> None:
    named = [set(itertools.chain.from_iterable(row[column].split(", ") for row in _rows())) for column in range(5)]
    for found, all_of in zip(named, (KINDS, THREADS, TARGETS, ROOMS, ("any", *COUNTS)), strict=True):
        assert found == set(all_of)
