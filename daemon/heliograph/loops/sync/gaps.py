"""Asks for what a sync left out: the events before timelines that were cut short.

GET /notifications tells what rang, for all rooms at once. That is all there is to know of a room that is not encrypted,
has nothing open, and in whose gap nothing rang. The others are paged back, and so are all if there is no list that can
be trusted: it must reach back to an event that we know, and be recent. What then still is missing is told to the user,
once for its room.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace

from heliograph.core.events import JoinedRoom, ServerNotification, Sync
from heliograph.core.ids import EventKey, RoomId
from heliograph.core.push.verdict import Verdict, verdict_of
from heliograph.core.sync.gaps import gaps_in, hides_more_than_rings, is_list_recent, name_in_notice, word_open_gaps
from heliograph.core.sync.judging import SERVER_RULE
from heliograph.core.sync.order import ids_in
from heliograph.core.sync.situation import Situation
from heliograph.core.value_type import value_type
from heliograph.errors import RateLimited, Unreachable
from heliograph.loops.sync.notification_list import NotificationList, RecentNotifications
from heliograph.loops.sync.paging import Pager
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)

TRIES = 3
"""How often a sync is held back for a gap that cannot be filled; then it is taken with the gap."""


@value_type
class Filled:
    """A sync, and what was found of its gaps."""

    sync: Sync
    """With what /messages adds to its timelines, and with why it is not all (`JoinedRoom.gap`)."""
    items: tuple[ServerNotification, ...] = ()
    """What GET /notifications lists of the gaps."""
    listed: Mapping[EventKey, Verdict] = field(default_factory=dict)
    """What rang since the last sync, by event id, by whichever list there is."""
    is_list_whole: bool = False
    """True if that is all that rang."""


class GapFiller:
    """Fills gaps for one account. `on_progress` is called after each page."""

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        missed: NotificationList,
        on_progress: Callable[[], None],
    ) -> None:
        self._list = missed
        self._pager = Pager(homeserver, ledger, on_progress)
        self._failures = 0

    async def fill(
        self, sync: Sync, situation: Situation, event_types: frozenset[str] | None, *, is_listed: bool
    ) -> Filled:
        """The sync with its gaps filled, and what rang since the last one. `is_listed`: it has a list of its own of
        what rings, also in its gaps. `event_types`: those that the sync asked for; None: all.

        Raises StorageError. Raises Unreachable and RateLimited up to `TRIES` times in a row, since another try may
        help; then the sync comes back with its gaps.
        """
        gaps = gaps_in(sync, situation.me, situation.joined)
        try:
            filled = await self._fill(sync, gaps, situation, event_types, is_listed=is_listed)
        except (Unreachable, RateLimited):
            self._failures += 1
            raise
        self._failures = 0
        return filled

    @property
    def _is_last_try(self) -> bool:
        return self._failures >= TRIES - 1

    async def _fill(
        self,
        sync: Sync,
        gaps: Sequence[JoinedRoom],
        situation: Situation,
        event_types: frozenset[str] | None,
        *,
        is_listed: bool,
    ) -> Filled:
        listing = None if is_listed else await self._read_list(situation)
        has_all = listing is not None and listing.has_all and is_list_recent(situation)
        is_enough = is_listed or has_all
        missed = () if listing is None or not (listing.has_all or listing.is_cut) else listing.since(situation.account)
        # What rang in a gap may be answered, edited or deleted further down in the same gap.
        told = {event_id for room in gaps for event_id in ids_in(room)}
        listed = [*missed, *(item for item in sync.notifications if isinstance(item, ServerNotification))]
        ringing = {item.event.room_id for item in listed if not item.is_read and item.event.event_id not in told}
        wanting = [
            room for room in gaps if not is_enough or room.room_id in ringing or hides_more_than_rings(room, situation)
        ]
        paged = await self._pager.page_back(
            _in_turn(wanting, situation), situation.account.next_batch, event_types, is_last_try=self._is_last_try
        )
        joined = tuple(paged.get(room.room_id, room) for room in sync.joined)
        limited = {room.room_id for room in gaps}
        items = tuple(item for item in missed if item.event.room_id in limited)
        verdicts = {item.event.event_id: verdict_of(item.actions, SERVER_RULE) for item in listed}
        return Filled(replace(sync, joined=joined), items, verdicts, is_list_whole=is_enough)

    async def _read_list(self, situation: Situation) -> RecentNotifications | None:
        try:
            return await self._list.read(situation.account)
        except (Unreachable, RateLimited) as trouble:
            if not self._is_last_try:
                raise
            log.info("The homeserver fails to list notifications (%s): trying /messages", trouble)
            return None


def _in_turn(rooms: Iterable[JoinedRoom], situation: Situation) -> list[JoinedRoom]:
    """Rooms with something open first: what stands on the screen may be wrong by now."""
    open_rooms = {each.room_id for each in situation.open_deliveries}
    return sorted(rooms, key=lambda room: room.room_id not in open_rooms)


class GapNotices:
    """Tells of gaps that stay open. `tell` shows a notice of our own: its title, and what to do."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._told: set[RoomId] = set()
        """Rooms with an open gap that the user was told of, and no gap filled since."""

    def note(self, rooms: Iterable[JoinedRoom], situation: Situation) -> None:
        """Tells of the gaps that stay open among these, of which each had one."""
        rooms = list(rooms)
        is_open = {room.room_id for room in rooms if room.gap}
        for room in rooms:
            if room.gap:
                log.warning("There may be more in %s, which could not be fetched: %s", room.room_id, room.gap)
        news = [room for room in rooms if room.room_id in is_open - self._told]
        self._told = self._told.difference(room.room_id for room in rooms) | is_open
        if news:
            self._tell(*word_open_gaps([name_in_notice(room.room_id, situation) for room in news], news[0].gap))
