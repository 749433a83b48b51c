"""Takes out of a sync what makes it impossible to plan, by a fault of our own.

A stranger who finds such a fault must not be able to stall the account. So each part is tried alone, and one that fails
is recorded as malformed; otherwise the same sync would come for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TypeVar

from heliograph.core.events import (
    Event,
    InvitedRoom,
    JoinedRoom,
    Malformed,
    ServerNotification,
    StrippedState,
    Sync,
)
from heliograph.core.record import FAULT, Decision, Plan
from heliograph.core.sync.needs import marked_events, rooms_changing_deliveries, rooms_wanting_facts, unplaced_events
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Situation
from heliograph.loops.sync.decryption import Opened

P = TypeVar("P", Event, StrippedState, ServerNotification)


def without_faulty_events(opened: Opened, situation: Situation) -> Opened:
    """The sync less the events that cannot be planned alone. Takes as long as planning each of them alone."""
    return replace(
        opened,
        sync=salvage(opened.sync, situation),
        filled=tuple(item for item in opened.filled if _is_sound(replace(situation, filled=(item,)))),
        late=tuple(event for event in opened.late if _is_sound(replace(situation, late=(event,)))),
    )


def rooms_of(opened: Opened) -> list[str]:
    """The ids of all rooms that something came in."""
    sync = opened.sync
    items = [item.event for item in (*sync.notifications, *opened.filled) if isinstance(item, ServerNotification)]
    rooms = [room.room_id for room in sync.joined] + [room.room_id for room in sync.invited]
    return list(dict.fromkeys([*rooms, *(event.room_id for event in (*items, *opened.late))]))


def only_room(opened: Opened, room_id: str) -> Opened:
    """What the sync brought in this room alone."""
    sync = opened.sync
    alone = Sync(
        sync.next_batch,
        joined=tuple(room for room in sync.joined if room.room_id == room_id),
        invited=tuple(room for room in sync.invited if room.room_id == room_id),
        notifications=tuple(item for item in sync.notifications if _room_of(item) == room_id),
    )
    return _with(opened, alone, lambda event: event.room_id == room_id)


def without_rooms(opened: Opened, room_ids: Collection[str]) -> Opened:
    """The sync less these rooms: everything in them is recorded as malformed."""
    sync = opened.sync
    lost: list[Malformed] = []
    for joined in sync.joined:
        if joined.room_id in room_ids:
            lost += [part if isinstance(part, Malformed) else _faulty(part, "timeline") for part in joined.timeline]
    for invited in sync.invited:
        if invited.room_id in room_ids:
            lost.append(Malformed("invite_state", FAULT, invited.room_id, is_our_fault=True))
    for item in sync.notifications:
        if _room_of(item) in room_ids:
            lost.append(item if isinstance(item, Malformed) else _faulty(item, "notifications"))
    rest = replace(
        sync,
        joined=tuple(room for room in sync.joined if room.room_id not in room_ids),
        invited=tuple(room for room in sync.invited if room.room_id not in room_ids),
        notifications=tuple(item for item in sync.notifications if _room_of(item) not in room_ids),
        malformed=(*sync.malformed, *lost),
    )
    return _with(opened, rest, lambda event: event.room_id not in room_ids)


def given_up(decided: Plan) -> list[str]:
    """Ids of events that a plan leaves out for a fault of our own."""
    return [each.event_id for each in decided.judged if each.decision is Decision.MALFORMED and FAULT in each.reason]


def _with(opened: Opened, sync: Sync, has: Callable[[Event], bool]) -> Opened:
    return replace(
        opened,
        sync=sync,
        filled=tuple(item for item in opened.filled if has(item.event)),
        late=tuple(event for event in opened.late if has(event)),
    )


def _room_of(item: ServerNotification | Malformed) -> str | None:
    return item.room_id if isinstance(item, Malformed) else item.event.room_id


def salvage(sync: Sync, situation: Situation) -> Sync:
    """The sync without the events that cannot be planned. Takes as long as planning each of them alone."""

    def is_good(part: Sync) -> bool:
        try:
            marked_events(part, situation.me)
            rooms_changing_deliveries(part, situation.me, situation.rooms)
            rooms_wanting_facts(part, situation)
            unplaced_events(part, situation, plan(part, situation))
        except Exception:  # noqa: BLE001 - whatever it is, it is why we are here
            return False
        return True

    bare = Sync(sync.next_batch)
    return replace(
        sync,
        joined=tuple(_salvage_joined(room, bare, is_good) for room in sync.joined),
        invited=tuple(_salvage_invited(room, bare, is_good) for room in sync.invited),
        notifications=_sound(
            sync.notifications, "notifications", lambda item: is_good(replace(bare, notifications=(item,)))
        ),
    )


def _is_sound(situation: Situation) -> bool:
    """Returns True if this situation can be planned with an empty sync."""
    try:
        plan(Sync(""), situation)
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _salvage_joined(room: JoinedRoom, bare: Sync, is_good: Callable[[Sync], bool]) -> JoinedRoom:
    alone = JoinedRoom(room.room_id)
    return replace(
        room,
        timeline=_sound(
            room.timeline,
            "timeline",
            lambda event: is_good(replace(bare, joined=(replace(alone, timeline=(event,)),))),
        ),
        state=_sound(
            room.state, "state", lambda event: is_good(replace(bare, joined=(replace(alone, state=(event,)),)))
        ),
    )


def _salvage_invited(room: InvitedRoom, bare: Sync, is_good: Callable[[Sync], bool]) -> InvitedRoom:
    state = _sound(
        room.state,
        "invite_state",
        lambda event: is_good(replace(bare, invited=(InvitedRoom(room.room_id, (event,)),))),
    )
    return replace(room, state=state)


def _sound(parts: Iterable[P | Malformed], where: str, is_good: Callable[[P], bool]) -> tuple[P | Malformed, ...]:
    return tuple(part if isinstance(part, Malformed) or is_good(part) else _faulty(part, where) for part in parts)


def _faulty(part: Event | StrippedState | ServerNotification, where: str) -> Malformed:
    event = part.event if isinstance(part, ServerNotification) else part
    event_id = event.event_id if isinstance(event, Event) else None
    room_id = event.room_id if isinstance(event, Event) else None
    return Malformed(where, FAULT, room_id, event_id, is_our_fault=True)
