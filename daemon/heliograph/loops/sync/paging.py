"""Pages rooms back to where the last sync ended, by GET /rooms/{roomId}/messages.

All rooms of one sync share the bounds, and take turns page by page: a flood in one room takes no other room's share.
Source: Client-Server API, "Syncing events backwards".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from heliograph.core.events import Event, JoinedRoom, Malformed
from heliograph.core.ids import RoomId
from heliograph.errors import HeliographError, RateLimited, Refused, Unreachable
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)

PAGE = 100
"""Events in one request."""
MAX_PAGES = 10
"""Of one room."""
MAX_PAGES_OF_ALL = 100
MAX_BYTES_OF_ALL = 32 * 1024 * 1024
PATIENCE_S = 60.0
"""How long a sync waits for all of them."""

NO_BEGINNING = "the homeserver does not say where the gap begins"
TOO_MUCH = "too much came"
TOO_SLOW = "the homeserver took too long to tell"
OUR_FAULT = "Heliograph has a fault, which is in its log"


@dataclass(slots=True)
class _Way:
    """How far one room has been paged back."""

    room: JoinedRoom
    token: str | None
    """Where the next page begins; None: there is no further page."""
    older: list[Event | Malformed] = field(default_factory=list)
    """What was missing, newest first."""
    pages: int = 0
    why_open: str = ""

    def stop(self, why_open: str = "") -> None:
        """Ends the way. `why_open`: why that is before the last sync; empty: all is there."""
        self.token, self.why_open = None, why_open

    def filled(self) -> JoinedRoom:
        timeline = (*reversed(self.older), *self.room.timeline)
        return replace(self.room, timeline=timeline, limited=False, gap=self.why_open)


@dataclass(slots=True)
class _Budget:
    pages: int = MAX_PAGES_OF_ALL
    bytes: int = MAX_BYTES_OF_ALL

    @property
    def is_spent(self) -> bool:
        return self.pages <= 0 or self.bytes <= 0


class Pager:
    """Pages back for one account. `on_progress` is called after each page."""

    def __init__(self, homeserver: Homeserver, ledger: Ledger, on_progress: Callable[[], None]) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._on_progress = on_progress

    async def page_back(
        self,
        rooms: Iterable[JoinedRoom],
        until: str | None,
        event_types: frozenset[str] | None,
        *,
        is_last_try: bool,
    ) -> dict[RoomId, JoinedRoom]:
        """These rooms by their ids, with what was missing before their timelines; or as much of that as could be had,
        and why it is not all (`JoinedRoom.gap`). The rooms named first are asked about first.

        `until`: the last sync's token. `event_types`: those that syncs ask for; None: all. Raises StorageError; unless
        this is the last try, also Unreachable and RateLimited.
        """
        ways = [_Way(room, room.prev_batch, why_open="" if room.prev_batch else NO_BEGINNING) for room in rooms]
        budget = _Budget()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while going := [way for way in ways if way.token is not None]:
                    for way in going:
                        await self._step_soundly(way, until, event_types, budget, is_last_try=is_last_try)
        except TimeoutError:
            for way in ways:
                if way.token is not None:
                    way.stop(TOO_SLOW)
        return {way.room.room_id: way.filled() for way in ways}

    async def _step_soundly(
        self, way: _Way, until: str | None, event_types: frozenset[str] | None, budget: _Budget, *, is_last_try: bool
    ) -> None:
        """Takes one page. What fails by a fault of ours, or for good, leaves the gap open in this room alone."""
        if budget.is_spent or way.pages == MAX_PAGES:
            way.stop(TOO_MUCH)
            return
        try:
            await self._step(way, until, event_types, budget)
        except Refused as refusal:
            way.stop(str(refusal))
        except (Unreachable, RateLimited) as trouble:
            if not is_last_try:
                raise
            way.stop(str(trouble))
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in filling the gap of %s", way.room.room_id)
            way.stop(OUR_FAULT)

    async def _step(self, way: _Way, until: str | None, event_types: frozenset[str] | None, budget: _Budget) -> None:
        assert way.token is not None
        page = await self._homeserver.messages(
            way.room.room_id, since=way.token, until=until, limit=PAGE, event_types=event_types
        )
        self._on_progress()
        way.pages += 1
        budget.pages -= 1
        budget.bytes -= page.size
        # By timelines alone: what a list told of is known, while all that stands around it may be missing.
        # Test: test_what_a_list_told_of_ends_no_gap.
        places = await self._ledger.places([each.event_id for each in page.events if isinstance(each, Event)])
        way.older += [each for each in page.events if not (isinstance(each, Event) and each.event_id in places)]
        # A server that gives the same token again would be asked for the same page without end.
        way.token = None if places or not page.events or page.end == way.token else page.end
