"""Fetches room facts: by sliding sync if the homeserver has it, else by single requests.

Measured on Synapse with 100 rooms: one request of sliding sync tells the facts of 50 rooms in 25 to 60 ms; single
requests take 12 ms for each room. An initial /sync with a filter for one room took 390 ms, and told of 50 others.
Tests: test_sliding_sync_tells_all_of_a_room_at_once, test_what_sliding_sync_does_not_tell_is_asked_for_singly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence

from heliograph.core.ids import RoomId
from heliograph.core.room import RoomFacts
from heliograph.core.text.clean import count_things
from heliograph.errors import BadAnswer, Refused
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.room_state import RoomState
from heliograph.homeserver.session import Session
from heliograph.homeserver.sliding_sync import fetch_by_sliding_sync
from heliograph.system.tasks import together

log = logging.getLogger(__name__)

_ROOMS_AT_ONCE = 100
_REQUESTS_AT_ONCE = 8


class RoomFactsSource:
    """Fetches room facts, and remembers in which way this homeserver tells them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._has_sliding_sync = True
        """True until the homeserver says that it knows no such endpoint."""

    async def fetch(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        """The complete facts of those of these rooms that the user is in. Raises ServerError."""
        facts: dict[RoomId, RoomFacts] = {}
        for chunk in _chunks(sorted(set(room_ids))):
            facts |= await self._by_sliding_sync(chunk)
            facts |= await self._one_by_one([room_id for room_id in chunk if room_id not in facts])
        return facts

    async def _by_sliding_sync(self, room_ids: Sequence[RoomId]) -> dict[RoomId, RoomFacts]:
        if not self._has_sliding_sync:
            return {}
        try:
            told = await fetch_by_sliding_sync(self._session, room_ids)
            # Those without heroes are left to single requests, which ask for all members.
            return {room_id: facts for room_id, facts in told.items() if not facts.lacks_heroes}
        except Refused as refusal:
            # A refusal of these rooms, or one by a proxy, says nothing about the next rooms.
            # Test: test_a_server_that_refuses_sliding_sync_once_is_asked_again.
            self._has_sliding_sync = not refusal.is_unrecognized
            log.info("No sliding sync for the facts of %s: %s", count_things(len(room_ids), "room"), refusal)
        except BadAnswer as answer:
            if answer.status >= 500:
                raise
            log.info("No sliding sync for the facts of %s: %s", count_things(len(room_ids), "room"), answer)
        return {}

    async def _one_by_one(self, room_ids: Sequence[RoomId]) -> dict[RoomId, RoomFacts]:
        state = RoomState(self._session, asyncio.Semaphore(_REQUESTS_AT_ONCE))
        facts = await together(_fetch_unless_refused(state, room_id) for room_id in room_ids)
        return {room.room_id: room for room in facts if room is not None}


async def _fetch_unless_refused(state: RoomState, room_id: RoomId) -> RoomFacts | None:
    """The facts of a room; None: the user is not in that room, or the homeserver refuses to tell about it. The other
    rooms do not suffer for it."""
    try:
        return await state.fetch_facts(room_id)
    except Refused as refusal:
        log.info("No facts of %s: %s", plain_line(room_id), refusal)
        return None


def _chunks(room_ids: Sequence[RoomId]) -> Iterator[Sequence[RoomId]]:
    return (room_ids[start : start + _ROOMS_AT_ONCE] for start in range(0, len(room_ids), _ROOMS_AT_ONCE))
