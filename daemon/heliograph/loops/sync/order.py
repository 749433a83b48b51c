"""Asks the homeserver where events stand that no timeline of ours has told of, since what was read hangs on that.

Clients send receipts at whatever stands last in a room: reactions, edits, changes of the room, most of which the filter
of /sync leaves out. What stands around such an event is asked for, and what is known of that gives it a place.
Source: Client-Server API, GET /rooms/{roomId}/context/{eventId}.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Set
from dataclasses import replace

from heliograph.core.events import Event, Malformed, Sync
from heliograph.core.ids import EventId, EventKey, RoomId
from heliograph.core.record import Plan
from heliograph.core.sync.needs import unplaced_events
from heliograph.core.sync.order import ids_in
from heliograph.core.sync.situation import Situation
from heliograph.errors import HeliographError, RateLimited, Refused, Unreachable
from heliograph.loops.sync.tries import Tries
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)

Deciding = Callable[[Sync, Situation], Awaitable[Plan]]

AROUND = 100
"""Events asked for with each, half of them before it and half after."""
MAX_PAGES = 3
"""Pages of /messages before these, if none of them is known."""
MOST_AT_ONCE = 10
"""Events asked for in one sync. What then still has no place reads nothing, and is read by nothing."""
PATIENCE_S = 10.0
"""How long a sync waits for all of them; then it is held back, and the next try asks for those that are left."""

Stretch = tuple[list[EventKey], dict[EventKey, int]]
"""A stretch of a room's timeline, oldest first, and the places of those in it that the ledger knows."""


class OrderFinder:
    """Asks for one account. `on_progress` is called after each request."""

    def __init__(self, homeserver: Homeserver, ledger: Ledger, on_progress: Callable[[], None]) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._on_progress = on_progress
        self._tries = Tries("it does not tell in time where events stand")
        self._told: dict[tuple[RoomId, EventId], Stretch] = {}
        """What was told while the sync is held back."""

    async def plan(
        self, sync: Sync, situation: Situation, event_types: frozenset[str] | None, decide: Deciding
    ) -> tuple[Plan, Situation]:
        """The plan that `decide` makes once all is known of the order that it hangs on, and the situation then.

        `event_types`: those that syncs ask for; None: all. Raises StorageError. Raises Unreachable, also for what is
        not told in time, and RateLimited, since another try may help: `tries.TRIES` times in a row at the most, if
        nothing more is told meanwhile.
        """
        decided, known = await decide(sync, situation), len(self._told)
        try:
            async with asyncio.timeout(PATIENCE_S):
                decided, situation = await self._ask(sync, situation, event_types, decide, decided)
        except (TimeoutError, Unreachable, RateLimited) as error:
            trouble = self._tries.hold_back(error, was_more_told=len(self._told) > known)
            log.warning("What was read elsewhere may stay unread: the homeserver does not tell the order (%s)", trouble)
            for (room_id, _), (stretch, places) in self._told.items():
                situation = _with_stretch(situation, room_id, stretch, places)
            decided = await decide(sync, situation)
        self._tries.end()
        self._told.clear()
        # Only now: of these nothing but a count can tell whether they read anything.
        if untold := {event_id for _, event_id in unplaced_events(sync, situation, decided)}:
            situation = replace(situation, untold=situation.untold.union(untold))
            decided = await decide(sync, situation)
        return decided, situation

    async def _ask(
        self, sync: Sync, situation: Situation, event_types: frozenset[str] | None, decide: Deciding, decided: Plan
    ) -> tuple[Plan, Situation]:
        asked: set[EventId] = set()
        while (wanted := _first_of(unplaced_events(sync, situation, decided), asked)) is not None:
            room_id, event_id = wanted
            asked.add(event_id)
            known = {each for room in sync.joined if room.room_id == room_id for each in ids_in(room)}
            if wanted not in self._told:
                self._told[wanted] = await self._find_soundly(room_id, event_id, known, event_types)
            stretch, places = self._told[wanted]
            if stretch:
                situation = _with_stretch(situation, room_id, stretch, places)
                decided = await decide(sync, situation)
        return decided, situation

    async def _find_soundly(
        self, room_id: RoomId, event_id: EventId, known: Set[EventKey], event_types: frozenset[str] | None
    ) -> Stretch:
        """As `_find`; nothing if the homeserver refuses, or if that fails by a fault of ours."""
        try:
            return await self._find(room_id, event_id, known, event_types)
        except Refused as refusal:
            # It was deleted, or the user may not see it.
            log.info("Where %s stands in %s is not told: %s", event_id, room_id, refusal)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in asking where %s stands in %s", event_id, room_id)
        return [], {}

    async def _find(
        self, room_id: RoomId, event_id: EventId, known: Set[EventKey], event_types: frozenset[str] | None
    ) -> Stretch:
        """A stretch with this event. It reaches back to an event that the ledger knows, or to one of `known`, unless
        that is too far."""
        found = await self._homeserver.context(room_id, event_id, limit=AROUND, event_types=event_types)
        self._on_progress()
        stretch, token = _ids(found.events), found.start
        places = await self._ledger.places(stretch)
        for _ in range(MAX_PAGES):
            if token is None or places or not known.isdisjoint(stretch):
                break
            page = await self._homeserver.messages(
                room_id, since=token, until=None, limit=AROUND, event_types=event_types
            )
            self._on_progress()
            older = _ids(page.events)[::-1]
            places = await self._ledger.places(older)
            stretch = [*older, *stretch]
            token = None if page.end == token else page.end
        return stretch, places


def _first_of(unplaced: list[tuple[RoomId, EventId]], asked: Collection[EventId]) -> tuple[RoomId, EventId] | None:
    if len(asked) >= MOST_AT_ONCE:
        return None
    return next(((room_id, event_id) for room_id, event_id in unplaced if event_id not in asked), None)


def _ids(events: Collection[Event | Malformed]) -> list[EventKey]:
    return [event.event_id for event in events if isinstance(event, Event)]


def _with_stretch(
    situation: Situation, room_id: RoomId, stretch: list[EventKey], places: dict[EventKey, int]
) -> Situation:
    stretches = (*situation.stretches.get(room_id, ()), stretch)
    return replace(
        situation, places={**situation.places, **places}, stretches={**situation.stretches, room_id: stretches}
    )
