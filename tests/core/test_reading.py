"""What marks read, beside a naive model that knows the whole order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.reading import (
    MAIN,
    Candidate,
    Counts,
    Mark,
    Place,
    is_written,
    read_by,
    thread_of,
    unplaced,
    weave,
)

NO_COUNTS = Counts()
THREADS = (MAIN, "$root", "$other")


@dataclass(frozen=True)
class History:
    """A room's timeline, how much of its order is known, and what marks."""

    timeline: Sequence[str]
    threads: dict[str, str]
    known: dict[str, Place]
    candidates: Sequence[Candidate]
    marks: Sequence[Mark]

    def read(self) -> set[str]:
        """By the naive model."""
        return {
            each.event_id
            for each in self.candidates
            for mark in self.marks
            if mark.thread_id in (None, each.thread_id)
            and self.timeline.index(each.event_id) <= self.timeline.index(mark.event_id)
        }


@st.composite
def histories(draw: st.DrawFn) -> History:
    timeline = [f"${number}" for number in range(draw(st.integers(1, 14)))]
    threads = {event_id: draw(st.sampled_from(THREADS)) for event_id in timeline}
    some = st.lists(st.sampled_from(timeline), unique=True)
    known = draw(some)
    border = draw(st.integers(0, len(timeline)))
    places = {each: (int(place >= border), float(place)) for place, each in enumerate(timeline) if each in known}
    marks = [Mark(each, draw(st.sampled_from((None, threads[each])))) for each in draw(some)]
    candidates = [Candidate(each, threads[each]) for each in draw(some)]
    return History(timeline, threads, places, candidates, marks)


def _ask(history: History, reach: int) -> dict[str, Place]:
    """The places once the homeserver has told what stands around each event that it was asked about."""
    places: dict[str, Place] = dict(history.known)
    for _ in history.timeline:
        for event_id in unplaced(history.marks, history.candidates, places):
            at = history.timeline.index(event_id)
            places = weave(places, history.timeline[max(at - reach, 0) : at + reach + 1])
    return places


@given(histories())
def test_with_the_order_told_it_is_as_by_the_naive_model(history: History) -> None:
    places = _ask(history, len(history.timeline))
    read = read_by(history.marks, history.candidates, places, NO_COUNTS)
    assert read == history.read()
    assert unplaced(history.marks, history.candidates, places) == ()


@given(histories(), st.integers(0, 5))
def test_with_some_of_the_order_told_nothing_is_read_that_is_not(history: History, reach: int) -> None:
    places = _ask(history, reach)
    assert read_by(history.marks, history.candidates, places, NO_COUNTS) <= history.read()


@given(histories(), st.integers(0, 5))
def test_weaving_keeps_what_was_known_and_adds_what_stands_between(history: History, reach: int) -> None:
    places = _ask(history, reach)
    assert {each: places[each] for each in history.known} == history.known
    in_order = [each for each in history.timeline if each in places]
    assert sorted(places, key=places.__getitem__) == in_order
    assert len(set(places.values())) == len(places)


@given(histories())
def test_nothing_is_asked_that_would_change_nothing(history: History) -> None:
    asked = unplaced(history.marks, history.candidates, history.known)
    assert not set(asked) & history.known.keys()
    assert not asked or history.marks
    read = read_by(history.marks, history.candidates, history.known, NO_COUNTS)
    if read == {each.event_id for each in history.candidates}:
        assert asked == ()


def test_a_stretch_without_anything_known_tells_nothing_of_what_is_known() -> None:
    assert weave({"$1": (0, 1.0)}, ["$2", "$3"]) == {"$1": (0, 1.0)}


def test_a_mark_reads_its_own_event_in_a_thread_that_nobody_knows() -> None:
    candidates = [Candidate("$1", None), Candidate("$2", None)]
    places = {"$1": (0, 1.0), "$2": (0, 2.0)}
    assert read_by([Mark("$2", "$root")], candidates, places, NO_COUNTS) == {"$2"}
    assert read_by([Mark("$2")], candidates, places, NO_COUNTS) == {"$1", "$2"}


def test_an_own_event_in_another_thread_is_not_read() -> None:
    assert read_by([Mark("$root", "$root")], [Candidate("$root")], {}, NO_COUNTS) == frozenset()


@pytest.mark.parametrize(
    ("counts", "thread", "is_zero"),
    [
        (Counts(0, {}, is_sound=True), MAIN, True),
        (Counts(0, {}, is_sound=True), "$root", True),
        (Counts(0, {}, is_sound=True), None, True),
        (Counts(0, {"$root": 1}, is_sound=True), MAIN, True),
        (Counts(0, {"$root": 1}, is_sound=True), "$root", False),
        (Counts(0, {"$root": 1}, is_sound=True), "$other", True),
        (Counts(0, {"$root": 1}, is_sound=True), None, False),
        (Counts(2, {"$root": 0}, is_sound=True), "$root", True),
        (Counts(2, {"$root": 1}, is_sound=True), "$other", True),
        (Counts(2, {}, is_sound=True), "$root", False),
        (Counts(2, {}, is_sound=True), MAIN, False),
        (Counts(None, {}, is_sound=True), MAIN, False),
        (Counts(0, {}), MAIN, False),
    ],
)
def test_a_count_speaks_for_its_own_thread(counts: Counts, thread: str | None, is_zero: bool) -> None:
    assert counts.is_zero(thread) is is_zero


@pytest.mark.parametrize(
    ("root", "parent", "thread"),
    [
        ("$root", None, "$root"),
        (None, None, MAIN),
        (None, "$in_thread", "$root"),
        (None, "$root", MAIN),
        (None, "$unknown", None),
        (None, "$unclear", None),
    ],
)
def test_what_relates_to_a_message_belongs_to_its_thread(
    root: str | None, parent: str | None, thread: str | None
) -> None:
    known = {"$in_thread": "$root", "$root": MAIN, "$unclear": None}
    assert thread_of(root, parent, known) == thread


@pytest.mark.parametrize(
    ("type_", "relation", "is_message"),
    [
        ("m.room.message", {}, True),
        ("m.room.encrypted", {"rel_type": "m.thread", "event_id": "$root"}, True),
        ("m.sticker", {"m.in_reply_to": {"event_id": "$1"}}, True),
        ("m.room.message", {"rel_type": "m.replace", "event_id": "$1"}, False),
        ("m.reaction", {"rel_type": "m.annotation", "event_id": "$1"}, False),
        ("m.room.topic", {}, False),
    ],
)
def test_only_a_message_says_that_its_author_has_read(
    type_: str, relation: dict[str, object], is_message: bool
) -> None:
    assert is_written(type_, relation) is is_message
