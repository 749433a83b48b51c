"""What the user has read on another device: which deliveries their receipts and read markers cover."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from heliograph.core.events import Event, JoinedRoom, Receipt
from heliograph.core.ids import EventKey

READ = "read elsewhere"
"""Why a delivery is taken back, or an event is silent, that the user has read on another device."""

Order = tuple[int, int]
"""Sorts events of a room as the homeserver does: known ones by the ledger's position, then this sync's by place."""


class Readable(Protocol):
    """A delivery, or one that would be."""

    @property
    def event_id(self) -> EventKey: ...
    @property
    def thread_root(self) -> str | None: ...


def read_elsewhere(
    room: JoinedRoom, candidates: Sequence[Readable], order: Mapping[EventKey, Order]
) -> frozenset[EventKey]:
    """Event ids among `candidates` that the receipts and the read marker in `room` cover.

    A marker at an event we never saw (a reaction, an old message) cannot be compared; then the server's own count
    decides: nothing unread means all read. The count alone is no evidence, since some servers never count.
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
    """The ids of `judged`, so that within a room they stand as in its timeline. The rest keeps its order.

    A list of what rings, judged first, leaves out what stands between: a receipt there must not read what is below it.
    """
    known = dict.fromkeys(judged)
    timelines: dict[EventKey, Iterator[EventKey]] = {}
    for room in rooms:
        ids: list[EventKey] = [event.event_id for event in room.timeline if isinstance(event, Event)]
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
