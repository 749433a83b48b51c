"""What is left of a sync that a fault of our own makes impossible to plan.

A stranger who finds such a fault must not be able to stall the account: each part is tried alone, and what fails is
recorded as malformed in place of being asked for for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from heliograph.core.needs import marked_events, rooms_changing_deliveries, rooms_wanting_facts
from heliograph.core.plan import plan
from heliograph.core.situation import Situation

P = TypeVar("P", Event, StrippedState, ServerNotification)


def salvage(sync: Sync, situation: Situation) -> Sync:
    """The sync without the events that cannot be planned. Takes as long as planning each of them alone."""

    def is_good(part: Sync) -> bool:
        try:
            marked_events(part)
            rooms_changing_deliveries(part, situation.rooms)
            rooms_wanting_facts(part, situation)
            plan(part, situation)
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


def is_sound(event: Event, situation: Situation) -> bool:
    """Whether an event whose key came late can be planned."""
    try:
        plan(Sync(""), replace(situation, late=(event,)))
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
    return Malformed(where, "it cannot be judged, by a fault of our own", room_id, event_id)
