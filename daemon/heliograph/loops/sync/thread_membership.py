"""Finds out which threads the events of a sync belong to by what they relate to: by the ledger, or by asking.

A reaction to a message in a thread belongs to that thread, however long ago the message was written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from heliograph.core.events import Event, Sync
from heliograph.core.ids import EventId, RoomId
from heliograph.core.reading import MAIN, MAX_HOPS, thread_of
from heliograph.core.sync.situation import Situation
from heliograph.core.sync.threads import parents_in
from heliograph.errors import HeliographError, RateLimited, Refused, Unreachable
from heliograph.loops.sync.tries import Tries
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a sync waits for all that is asked; then it is held back, and the next try asks for what is left."""
MOST_AT_ONCE = 10


class ThreadMembership:
    """Answers for one account."""

    def __init__(self, homeserver: Homeserver, ledger: Ledger) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._tries = Tries("it does not tell in time which threads events are in")
        self._told: dict[EventId, str] = {}
        """What was told while the sync is held back."""

    async def known(self, sync: Sync, situation: Situation) -> dict[str, str]:
        """The threads of what the events of this sync relate to, by event id, as far as the ledger knows them. Raises
        StorageError."""
        parents = parents_in(sync, situation)
        known = await self._ledger.threads(parents) if parents else {}
        return {str(event_id): thread for event_id, thread in known.items()}

    async def ask(self, untold: Collection[tuple[RoomId, EventId]]) -> dict[str, str]:
        """The threads of these events, by event id. What the homeserver does not tell counts as outside of threads.

        Raises Unreachable, also for what is not told in time, and RateLimited, since another try may help:
        `tries.TRIES` times in a row at the most, if nothing more is told meanwhile.
        """
        known = len(self._told)
        try:
            async with asyncio.timeout(PATIENCE_S):
                for room_id, event_id in sorted(untold)[:MOST_AT_ONCE]:
                    if event_id not in self._told:
                        self._told[event_id] = await self._ask_soundly(room_id, event_id)
        except (TimeoutError, Unreachable, RateLimited) as error:
            trouble = self._tries.hold_back(error, was_more_told=len(self._told) > known)
            log.warning("Reactions and edits may count as outside of their threads, which are not told (%s)", trouble)
        told = {str(event_id): self._told.get(event_id, MAIN) for _, event_id in untold}
        self._tries.end()
        self._told.clear()
        return told

    async def _ask_soundly(self, room_id: RoomId, event_id: EventId) -> str:
        try:
            return await self._ask(room_id, event_id)
        except Refused as refusal:
            log.info("The thread of %s in %s is not told: %s", event_id, room_id, refusal)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in asking for the thread of %s in %s", event_id, room_id)
        return MAIN

    async def _ask(self, room_id: RoomId, event_id: EventId) -> str:
        for _ in range(MAX_HOPS):
            event = await self._homeserver.event(room_id, event_id)
            if not isinstance(event, Event):
                break
            thread = thread_of(event.own_thread, event.parent, {})
            if thread is not None or event.parent is None:
                return thread or MAIN
            event_id = event.parent
        return MAIN
