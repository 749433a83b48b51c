"""Tells what the user has read on another device, by their receipts and read markers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from heliograph.core.events import Event, JoinedRoom, Receipt
from heliograph.core.ids import EventKey

READ = "read elsewhere"
"""Why a delivery is taken back, or an event is silent, that the user has read on another device."""

Order = tuple[int, int]
"""Sorts events of a room as the homeserver does: (0, the ledger's position) of those known before, then
(1, place in the timeline) of this sync's."""


class Readable(Protocol):
    """A delivery, or an event that may become one."""

    @property
    def event_id(self) -> EventKey: ...
    @property
    def thread_root(self) -> str | None: ...


def read_elsewhere(
    room: JoinedRoom, candidates: Sequence[Readable], order: Mapping[EventKey, Order]
) -> frozenset[EventKey]:
    """Event ids among `candidates` that the receipts and the read marker in `room` cover.

    A marker at an event we never saw (a reaction, an old message) cannot be compared with the others. Then the server's
    unread count decides: 0 means that all is read. Without a marker a count of 0 proves nothing, since some servers
    never count.
    Tests: test_a_count_of_zero_makes_a_marker_at_an_unknown_event_cover_all, test_a_count_of_zero_alone_proves_nothing.
    """
    markers = list(room.receipts)
    if room.fully_read is not None:
        markers.append(Receipt(room.room_id, room.fully_read))
    if not markers:
        return frozenset()
    if room.notification_count == 0:
        return frozenset(candidate.event_id for candidate in candidates)
    return frozenset(
        candidate.event_id for candidate in candidates if any(_covers(marker, candidate, order) for marker in markers)
    )


def in_order(judged: Iterable[EventKey], rooms: Iterable[JoinedRoom]) -> list[EventKey]:
    """The ids of `judged`, sorted so that those of one timeline stand as in it. The others keep their order.

    A list of notifications is judged before the timelines, and leaves out what stands between its events. The ledger
    gives positions in the order of this list, so a receipt at an event between them would otherwise cover what is
    below it.
    Test: test_what_is_listed_is_placed_below_what_stands_above_it_and_is_not_listed.
    """
    known = dict.fromkeys(judged)
    timelines: dict[EventKey, Iterator[EventKey]] = {}
    for room in rooms:
        ids: list[EventKey] = [event.event_id for event in room.timeline if isinstance(event, Event)]
        # One iterator for all events of a timeline: what it has
        # passed is not looked at again, so that the work is linear.
        left = iter(ids)
        timelines.update((event_id, left) for event_id in ids)
    ordered: dict[EventKey, None] = {}
    for event_id in known:
        if event_id not in ordered:
            for above in timelines.get(event_id, ()):
                if above == event_id:
                    break
                if above in known:
                    ordered[above] = None
            ordered[event_id] = None
    return list(ordered)


def _covers(marker: Receipt, candidate: Readable, order: Mapping[EventKey, Order]) -> bool:
    if not _same_thread(marker, candidate):
        return False
    place = order.get(candidate.event_id)
    marked = order.get(marker.event_id)
    return place is not None and marked is not None and place <= marked


def _same_thread(marker: Receipt, candidate: Readable) -> bool:
    match marker.thread_id:
        case None:
            return True
        case "main":
            return candidate.thread_root is None
        case thread_id:
            return candidate.thread_root == thread_id
