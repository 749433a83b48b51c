"""Puts what a sync tells of a room into the order of its timeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from heliograph.core.events import Event, JoinedRoom
from heliograph.core.ids import EventKey
from heliograph.core.reading import Place, weave
from heliograph.core.sync.situation import Situation


def ids_in(room: JoinedRoom) -> tuple[EventKey, ...]:
    """The ids of the events in the room's timeline, in order."""
    return tuple(event.event_id for event in room.timeline if isinstance(event, Event))


def places_in(room: JoinedRoom, situation: Situation) -> dict[str, Place]:
    """Where events of this room stand: those that the ledger knows, then the timeline's, and between them whatever the
    homeserver told of the room when it was asked."""
    places: dict[str, Place] = {event_id: (0, float(place)) for event_id, place in situation.places.items()}
    places.update({event_id: (1, float(place)) for place, event_id in enumerate(ids_in(room))})
    for stretch in situation.stretches.get(room.room_id, ()):
        places = weave(places, stretch)
    return places


def in_order(judged: Iterable[EventKey], rooms: Iterable[JoinedRoom]) -> list[EventKey]:
    """The ids of `judged`, sorted so that those of one timeline stand as in it. The others keep their order.

    A list of notifications is judged before the timelines, and leaves out what stands between its events. Popups and
    the inbox show messages in the order of this list.
    Test: test_what_is_listed_is_placed_below_what_stands_above_it_and_is_not_listed.
    """
    known = dict.fromkeys(judged)
    timelines: dict[EventKey, Iterator[EventKey]] = {}
    for room in rooms:
        ids = ids_in(room)
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
