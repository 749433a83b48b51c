"""Finds the threads of events that are in one by what they edit, react or otherwise relate to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from heliograph.core.events import Event, Malformed, ServerNotification, Sync
from heliograph.core.ids import EventId, RoomId, is_event_id, is_room_id
from heliograph.core.reading import thread_of
from heliograph.core.record import Plan
from heliograph.core.sync.situation import Situation


def parents_in(sync: Sync, situation: Situation) -> frozenset[EventId]:
    """Ids of the events to which events of this sync relate otherwise than as to the root of a thread."""
    return frozenset(event.parent for event in _events(sync, situation) if event.parent is not None)


def inherit(sync: Sync, situation: Situation, known: Mapping[str, str]) -> tuple[Sync, Situation]:
    """The same, with each event in the thread of the event that it relates to.

    `known`: threads (MAIN: none) of events of earlier syncs by their ids. An event whose parent nobody knows stays as
    it is, which is outside of threads.
    """
    threads = _threads(sync, situation, known)

    def heir(event: Event) -> Event:
        thread = threads[event.event_id]
        return replace(event, inherited_thread=thread) if event.parent and is_event_id(thread) else event

    def part(each: Event | Malformed) -> Event | Malformed:
        return heir(each) if isinstance(each, Event) else each

    def item(each: ServerNotification) -> ServerNotification:
        return replace(each, event=heir(each.event))

    if not parents_in(sync, situation):
        return sync, situation
    return (
        replace(
            sync,
            joined=tuple(replace(room, timeline=tuple(map(part, room.timeline))) for room in sync.joined),
            notifications=tuple(item(n) if isinstance(n, ServerNotification) else n for n in sync.notifications),
        ),
        replace(situation, filled=tuple(map(item, situation.filled)), late=tuple(map(heir, situation.late))),
    )


def untold_parents(
    sync: Sync, situation: Situation, known: Mapping[str, str], plan: Plan
) -> frozenset[tuple[RoomId, EventId]]:
    """(room id, event id) of those events that something relates to which rings, and whose thread nobody knows."""
    ringing = {delivery.event_id for delivery in plan.deliveries}
    threads = _threads(sync, situation, known)
    return frozenset(
        (event.room_id, event.parent)
        for event in _events(sync, situation)
        if event.event_id in ringing
        and event.parent is not None
        and threads[event.event_id] is None
        and is_room_id(event.room_id)
    )


def _threads(sync: Sync, situation: Situation, known: Mapping[str, str]) -> dict[str, str | None]:
    """By event id: the root of its thread, or MAIN; None: its parent is unknown."""
    threads: dict[str, str | None] = dict(known)
    # Timelines first, each in order: what others relate to stands above them.
    for event in _events(sync, situation):
        if threads.get(event.event_id) is None:
            threads[event.event_id] = thread_of(event.own_thread, event.parent, threads)
    return threads


def _events(sync: Sync, situation: Situation) -> Iterator[Event]:
    for room in sync.joined:
        yield from (event for event in room.timeline if isinstance(event, Event))
    items = (*sync.notifications, *situation.filled)
    yield from (item.event for item in items if isinstance(item, ServerNotification))
    yield from situation.late
