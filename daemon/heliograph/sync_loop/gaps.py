"""What a sync left out: timelines cut short, and absences of which the server forgot our place.

GET /notifications from the top until an event that we know; where the server has none, /messages back to the last
sync. Source: Client-Server API, "Syncing events backwards"; design: nothing lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from heliograph.core.events import Event, JoinedRoom, Malformed, ServerNotification, Sync
from heliograph.core.plan import joined_at
from heliograph.core.record import AccountState
from heliograph.errors import RateLimited, Refused, Unreachable
from heliograph.ports import Homeserver, Ledger

log = logging.getLogger(__name__)

PAGE = 200
MAX_PAGES = 25
MESSAGES_PAGE = 100
MAX_MESSAGES_PAGES = 10
TRIES = 3
CLOCK_SLACK_MS = 3_600_000
"""How far the homeserver's clock may be from ours before a list is read further than needed."""


class GapFiller:
    """Fills gaps for one account. A gap that cannot be filled holds the sync back a few times, then is let go."""

    def __init__(self, homeserver: Homeserver, ledger: Ledger, on_progress: Callable[[], None]) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._on_progress = on_progress
        self._can_list = True
        self._failures = 0

    async def fill(
        self, sync: Sync, account: AccountState, event_types: frozenset[str] | None
    ) -> tuple[Sync, tuple[ServerNotification, ...]]:
        """The sync, with what /messages adds to it, and what GET /notifications tells of its gaps.

        `event_types` are those that the sync asked for.
        Raises Unreachable and RateLimited as long as another try may help.
        """
        limited = {room.room_id for room in sync.joined if room.limited and not _is_new(room, self._homeserver.user_id)}
        if not limited:
            return sync, ()
        try:
            filled = await self._fill(sync, account, limited, event_types)
        except (Unreachable, RateLimited) as trouble:
            self._failures += 1
            if self._failures < TRIES:
                raise
            log.warning(
                "Messages may be missing in %d rooms: their gap could not be filled (%s)", len(limited), trouble
            )
            filled = sync, ()
        self._failures = 0
        return filled

    async def list_missed(self, account: AccountState) -> tuple[ServerNotification, ...] | None:
        """All notifications since the last event that we know, oldest first; None where the server cannot list them."""
        if not self._can_list:
            return None
        found: list[ServerNotification] = []
        token: str | None = None
        for _ in range(MAX_PAGES):
            try:
                page = await self._homeserver.notifications(since=token, limit=PAGE)
            except Refused as refusal:
                log.info("The homeserver does not list notifications (%s): gaps are filled from /messages", refusal)
                self._can_list = False
                return None
            self._on_progress()
            items = [item for item in page.notifications if isinstance(item, ServerNotification)]
            known = await self._ledger.positions([item.event.event_id for item in items])
            found.extend(item for item in items if item.event.event_id not in known)
            is_old = any(item.ts < account.last_sync_ms - CLOCK_SLACK_MS for item in items)
            token = page.next_token
            if known or is_old or not page.notifications or token is None:
                break
        else:
            log.warning("More than %d notifications were missed; the oldest stay silent", MAX_PAGES * PAGE)
        oldest = account.last_sync_ms - CLOCK_SLACK_MS
        return tuple(sorted((item for item in found if item.ts >= oldest), key=lambda item: item.ts))

    async def _fill(
        self, sync: Sync, account: AccountState, limited: set[str], event_types: frozenset[str] | None
    ) -> tuple[Sync, tuple[ServerNotification, ...]]:
        missed = await self.list_missed(account)
        if missed is not None:
            return sync, tuple(item for item in missed if item.event.room_id in limited)
        joined = [
            await self._page_back(room, account.next_batch, event_types) if room.room_id in limited else room
            for room in sync.joined
        ]
        return replace(sync, joined=tuple(joined)), ()

    async def _page_back(self, room: JoinedRoom, until: str | None, event_types: frozenset[str] | None) -> JoinedRoom:
        older: list[Event | Malformed] = []
        token = room.prev_batch
        for _ in range(MAX_MESSAGES_PAGES):
            if token is None:
                break
            try:
                page = await self._homeserver.messages(
                    room.room_id, since=token, until=until, limit=MESSAGES_PAGE, event_types=event_types
                )
            except Refused as refusal:
                log.warning("Messages may be missing in %s: %s", room.room_id, refusal)
                break
            self._on_progress()
            ids = [event.event_id for event in page.events if isinstance(event, Event)]
            known = await self._ledger.positions(ids)
            older.extend(e for e in page.events if not (isinstance(e, Event) and e.event_id in known))
            token = page.end
            if known or not page.events:
                break
        return replace(room, timeline=(*reversed(older), *room.timeline), limited=False)


def _is_new(room: JoinedRoom, me: str) -> bool:
    """The user joined within this timeline: what lies before it was never theirs to miss."""
    return joined_at(room, me) is not None
