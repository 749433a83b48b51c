"""Tells what the user has read, for daemon and relay alike: the table of docs/reading.md.

A *mark* says that the user has read up to an event: a read receipt does, and so does a message that the user wrote
elsewhere. Order decides: a mark reads its own event, and whatever stands before that in its thread. Where the order is
unknown, `unplaced` names the events to ask the homeserver about, and `weave` takes the answer. Only where the
homeserver does not tell, a count of 0 unread messages stands in for the order.

Source: Client-Server API, "Receipts", "Threaded read receipts" and "Receiving notifications".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from heliograph.core.value_type import value_type

MAIN = "main"
"""The id of the thread that has all messages outside of threads, the roots of threads included."""
MAX_HOPS = 3
"""How many relations are followed from an event to the one that is in a thread, as the specification recommends."""

Place = tuple[int, float]
"""Sorts the events of one room as the homeserver does. Places of the same era (the first number) were given by the same
source, and each event of a later era stands below all of an earlier one."""

_WRITTEN = frozenset(
    {"m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"}
)


@value_type
class Mark:
    """The user has read up to this event."""

    event_id: str
    thread_id: str | None = None
    """The root of the thread that was read, or MAIN; None: all threads were (an unthreaded receipt)."""
    is_untold: bool = False
    """True if the homeserver was asked where the event stands, and did not tell. Only then a count is used."""


@value_type
class Candidate:
    """An event that rings or waits, and may have been read."""

    event_id: str
    thread_id: str | None = MAIN
    """The root of its thread, or MAIN; None: nobody knows. Then a mark of one thread reads it only if it points at this
    very event."""
    is_countable: bool = False
    """True if the homeserver could judge the event, so that it is in its unread count until it is read. False for
    encrypted events."""


@value_type
class Counts:
    """How many notifications of a room are unread by the homeserver's count."""

    main: int | None = None
    """`unread_notifications.notification_count`; None: not told."""
    threads: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """`unread_thread_notifications`, by the thread's root. A server leaves out threads without any; one that knows no
    threads tells none, and has them in `main`."""
    is_sound: bool = False
    """True if this homeserver is known to count. Some say 0 whatever is unread."""

    def of(self, thread_id: str | None) -> int | None:
        """The count of this thread (None: an unknown one); None: the server does not tell."""
        if self.main is None or thread_id == MAIN:
            return self.main
        total = self.main + sum(self.threads.values())
        if not total:
            return 0
        # Where no thread is counted apart, this one may be counted in `main`.
        return None if thread_id is None or not self.threads else self.threads.get(thread_id, 0)

    def is_zero(self, thread_id: str | None) -> bool:
        """Returns True if the count proves that nothing is unread in this thread (None: in an unknown one)."""
        return self.is_sound and self.of(thread_id) == 0


def read_by(
    marks: Collection[Mark], candidates: Iterable[Candidate], places: Mapping[str, Place], counts: Counts
) -> frozenset[str]:
    """The ids of those `candidates` that the marks in their room read.

    `counts` must not be older than the marks.
    """
    return frozenset(each.event_id for each in candidates if any(_reads(mark, each, places, counts) for mark in marks))


def unplaced(marks: Collection[Mark], candidates: Iterable[Candidate], places: Mapping[str, Place]) -> tuple[str, ...]:
    """The ids of the events that the homeserver has to be asked about before `read_by` can say what was read.

    Marks come first: an answer that tells what stands around a mark often places the candidates as well.
    """
    of_marks: dict[str, None] = {}
    of_candidates: dict[str, None] = {}
    for candidate in candidates:
        if any(_reads(mark, candidate, places, Counts()) for mark in marks):
            continue
        for mark in marks:
            if not _is_in_scope(mark, candidate):
                continue
            if mark.event_id not in places:
                of_marks[mark.event_id] = None
            elif candidate.event_id not in places:
                of_candidates[candidate.event_id] = None
    return (*of_marks, *of_candidates)


def weave(places: Mapping[str, Place], stretch: Sequence[str]) -> dict[str, Place]:
    """The places, and those of the events in a stretch of the room's timeline, which is without gaps and oldest first.

    The stretch hangs on those of its events whose places are known. Without any, nothing is added, unless nothing else
    is known either.
    """
    if not places:
        return {event_id: (0, float(place)) for place, event_id in enumerate(stretch)}
    woven = dict(places)
    for run in _runs(places, stretch):
        # Nothing that was known stands within a run, or the stretch would have had it there.
        if run.after is not None:
            era, low = places[run.after]
            high = min((at for of, at in woven.values() if of == era and at > low), default=low + 1)
        elif run.before is not None:
            era, high = places[run.before]
            low = max((at for of, at in woven.values() if of == era and at < high), default=high - 1)
        else:
            break
        step = (high - low) / (len(run.event_ids) + 1)
        woven |= {event_id: (era, low + step * (place + 1)) for place, event_id in enumerate(run.event_ids)}
    return woven


def thread_of(root: str | None, parent: str | None, threads: Mapping[str, str | None]) -> str | None:
    """The id of an event's thread, or MAIN; None: nobody knows, since nobody knows that of its parent.

    `root`: the event's own relation `m.thread`. `parent`: the event that it edits, reacts to or otherwise refers to.
    `threads`: what is known of others by their ids. A reaction to a message in a thread belongs to that thread; one to
    the thread's root belongs to the main timeline, as the root does.
    """
    if root is not None:
        return root
    return MAIN if parent is None else threads.get(parent)


def is_written(type_: str, relation: Mapping[str, object]) -> bool:
    """Whether an event is a message that somebody wrote, who has then read what stands before it in its thread.

    An edit or a reaction is none: it tells that its target was read, which may stand far above. `relation`: the event's
    `m.relates_to`.
    """
    return type_ in _WRITTEN and relation.get("rel_type") in (None, "m.thread")


@dataclass(slots=True)
class _Run:
    """Events of a stretch whose places are unknown, and the known ones next to them."""

    event_ids: list[str]
    after: str | None
    before: str | None = None


def _runs(places: Mapping[str, Place], stretch: Sequence[str]) -> Iterator[_Run]:
    run = _Run([], None)
    for event_id in stretch:
        if event_id not in places:
            run.event_ids.append(event_id)
            continue
        run.before = event_id
        if run.event_ids:
            yield run
        run = _Run([], event_id)
    if run.event_ids:
        yield run


def _reads(mark: Mark, candidate: Candidate, places: Mapping[str, Place], counts: Counts) -> bool:
    if mark.event_id == candidate.event_id:
        return candidate.thread_id is None or _is_in_scope(mark, candidate)
    if not _is_in_scope(mark, candidate):
        return False
    marked, place = places.get(mark.event_id), places.get(candidate.event_id)
    if marked is None:
        return mark.is_untold and candidate.is_countable and counts.is_zero(candidate.thread_id)
    return place is not None and place <= marked


def _is_in_scope(mark: Mark, candidate: Candidate) -> bool:
    return mark.thread_id is None or mark.thread_id == candidate.thread_id
