"""Asks for what a sync left out: the events before a timeline that was cut short, or since a token that was forgotten.

GET /notifications is read from the top down to an event that we know. Where the server has no such list, or the list
does not reach back to a known event, /messages is read back to the last sync.
Source: Client-Server API, "Syncing events backwards".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from heliograph.core.events import Event, JoinedRoom, Malformed, ServerNotification, Sync
from heliograph.core.ids import RoomId
from heliograph.core.record import AccountState
from heliograph.core.sync.needs import joined_at
from heliograph.core.text.clean import count_things
from heliograph.errors import HeliographError, RateLimited, Refused, Unreachable
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)

PAGE = 200
"""Notifications in one request."""
MAX_PAGES = 25
MESSAGES_PAGE = 100
MAX_MESSAGES_PAGES = 10
TRIES = 3
"""How often a sync is held back for a gap that cannot be filled; then it is taken with the gap."""
CLOCK_SLACK_MS = 3_600_000
"""How far the homeserver's clock may be from ours. A larger difference has a list read too far, or not far enough."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """The top of GET /notifications."""

    unknown: tuple[ServerNotification, ...]
    reaches: int | None
    """The newest event that we know arrived then, by the server's clock in ms; if too many were missed, the oldest that
    was read. None: the list ended before it came to an event that we know."""

    def since(self, ms: int) -> tuple[ServerNotification, ...]:
        """The notifications that were missed since `ms`, oldest first.

        What arrived after an event that we know was missed in any case, even if our clock was wrong then.
        """
        oldest = ms if self.reaches is None else min(ms, self.reaches)
        return tuple(sorted((item for item in self.unknown if item.ts >= oldest), key=lambda item: item.ts))


class GapFiller:
    """Fills gaps for one account.

    `on_progress` is called after each page. `on_trouble` shows a notice of our own: its title, and what to do.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        on_progress: Callable[[], None],
        on_trouble: Callable[[str, str], None],
    ) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._on_progress = on_progress
        self._on_trouble = on_trouble
        self._can_list = True
        self._failures = 0
        self._is_told = False
        """The user was told of a gap that stays open, and no gap was filled since."""

    async def fill(
        self, sync: Sync, account: AccountState, event_types: frozenset[str] | None
    ) -> tuple[Sync, tuple[ServerNotification, ...]]:
        """The sync with the events that /messages adds to it, and what GET /notifications lists of its gaps.

        `event_types`: those that the sync asked for; None: all.
        Raises Unreachable and RateLimited up to `TRIES` times in a row, since another try may help; then the sync comes
        back with its gaps.
        """
        # A gap before one's own joining is history.
        limited = {room.room_id for room in sync.joined if room.limited and not _is_new(room, self._homeserver.user_id)}
        if not limited:
            return sync, ()
        try:
            filled = await self._fill(sync, account, limited, event_types)
        except (Unreachable, RateLimited) as trouble:
            self._failures += 1
            if self._failures < TRIES:
                raise
            where = count_things(len(limited), "room")
            log.warning("Messages may be missing in %s, since what was left out could not be had (%s)", where, trouble)
            self._tell_missing("The homeserver did not tell all that arrived meanwhile.")
            self._failures = 0
            return sync, ()
        self._failures, self._is_told = 0, False
        return filled

    async def list_missed(self, account: AccountState) -> tuple[ServerNotification, ...] | None:
        """All notifications since the last event that we know, oldest first; if the list has no such event, since the
        last sync by our clock.

        None if the server cannot list them, or if all that it lists seems to be older than the last sync, which proves
        nothing. Raises Unreachable and RateLimited.
        """
        listing = await self._list_soundly(account)
        if listing is None:
            return None
        missed = listing.since(account.last_sync_ms - CLOCK_SLACK_MS)
        is_certain = missed or listing.reaches is not None or not listing.unknown
        return missed if is_certain else None

    async def _list(self, account: AccountState) -> _Listing | None:
        """Reads the list of notifications; None: the server has no such list."""
        if not self._can_list:
            return None
        unknown: list[ServerNotification] = []
        token: str | None = None
        for _ in range(MAX_PAGES):
            try:
                page = await self._homeserver.notifications(since=token, limit=PAGE)
            except Refused as refusal:
                log.info("The homeserver does not list notifications (%s): gaps are filled from /messages", refusal)
                self._can_list = not refusal.is_unrecognized
                return None
            self._on_progress()
            items = [item for item in page.notifications if isinstance(item, ServerNotification)]
            # Servers do not all list the newest first, so the whole page is compared, and none of it by its order.
            known = await self._ledger.positions([item.event.event_id for item in items])
            unknown.extend(item for item in items if item.event.event_id not in known)
            if known:
                return _Listing(tuple(unknown), max(item.ts for item in items if item.event.event_id in known))
            is_old = any(item.ts < account.last_sync_ms - CLOCK_SLACK_MS for item in items)
            if is_old or not page.notifications or page.next_token in (None, token):
                break
            token = page.next_token
        else:
            log.warning("More than %d notifications were missed; the oldest stay silent", MAX_PAGES * PAGE)
            return _Listing(tuple(unknown), min((item.ts for item in unknown), default=None))
        return _Listing(tuple(unknown), None)

    async def _fill(
        self, sync: Sync, account: AccountState, limited: set[RoomId], event_types: frozenset[str] | None
    ) -> tuple[Sync, tuple[ServerNotification, ...]]:
        listing = await self._list_unless_last_try(account)
        if listing is not None and (listing.reaches is not None or not listing.unknown):
            missed = listing.since(account.last_sync_ms - CLOCK_SLACK_MS)
            return sync, tuple(item for item in missed if item.event.room_id in limited)
        joined = [
            await self._fill_room(room, account.next_batch, event_types) if room.room_id in limited else room
            for room in sync.joined
        ]
        return replace(sync, joined=tuple(joined)), ()

    async def _list_unless_last_try(self, account: AccountState) -> _Listing | None:
        try:
            return await self._list_soundly(account)
        except (Unreachable, RateLimited) as trouble:
            if self._failures < TRIES - 1:
                raise
            log.info("The homeserver fails to list notifications (%s): trying /messages", trouble)
            return None

    async def _list_soundly(self, account: AccountState) -> _Listing | None:
        """Reads the list like `_list`; None also if that fails by a fault of ours."""
        try:
            return await self._list(account)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in reading the list of notifications: gaps are filled from /messages")
            return None

    async def _fill_room(self, room: JoinedRoom, until: str | None, event_types: frozenset[str] | None) -> JoinedRoom:
        """The room with its gap filled. A fault of ours leaves the gap open, in this room alone."""
        try:
            return await self._page_back(room, until, event_types)
        except HeliographError:
            raise
        except Exception:
            log.exception("Messages may be missing in %s: unexpected fault in filling its gap", room.room_id)
            self._tell_missing("Heliograph has a fault, which is in its log.")
            return room

    def _tell_missing(self, why: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._on_trouble("Some messages may be missing", f"{why} Look into your Matrix client.")

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
            # A server that gives the same token again would be asked for the same page without end.
            token = None if page.end == token else page.end
            if known or not page.events:
                break
        else:
            log.warning("More than %d events were missed in %s", MAX_MESSAGES_PAGES * MESSAGES_PAGE, room.room_id)
        return replace(room, timeline=(*reversed(older), *room.timeline), limited=False)


def _is_new(room: JoinedRoom, me: str) -> bool:
    """Returns True if the user joined within this timeline: what lies before it was never theirs to miss."""
    return joined_at(room, me) is not None
