"""Reads GET /notifications: what rang lately, by the homeserver, from the newest down to an event that we know.

Source: Client-Server API, "Receiving notifications".
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.core.events import ServerNotification
from heliograph.core.record import AccountState
from heliograph.core.value_type import value_type
from heliograph.errors import HeliographError, Refused
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)

PAGE = 200
"""Notifications in one request."""
MAX_PAGES = 25
CLOCK_SLACK_MS = 3_600_000
"""How far the homeserver's clock may be from ours. A larger difference has a list read too far, or not far enough."""


@value_type
class RecentNotifications:
    """The top of the list."""

    unknown: tuple[ServerNotification, ...]
    reaches: int | None
    """The newest event that we know arrived then, by the server's clock in ms; if too many were missed, the oldest that
    was read. None: the list ended before it came to an event that we know."""
    is_cut: bool = False
    """True if so many were missed that the oldest were not read."""

    def since(self, account: AccountState) -> tuple[ServerNotification, ...]:
        """The notifications that were missed since the last sync, oldest first.

        What arrived after an event that we know was missed in any case, even if our clock was wrong then.
        """
        ms = account.last_sync_ms - CLOCK_SLACK_MS
        oldest = ms if self.reaches is None else min(ms, self.reaches)
        return tuple(sorted((item for item in self.unknown if item.ts >= oldest), key=lambda item: item.ts))

    @property
    def has_all(self) -> bool:
        """True if these are all that the homeserver lists since the last sync. An empty list proves nothing: some
        homeservers leave theirs empty whatever rings."""
        return not self.is_cut and self.reaches is not None


class NotificationList:
    """Reads the list of one account. `on_progress` is called after each page."""

    def __init__(self, homeserver: Homeserver, ledger: Ledger, on_progress: Callable[[], None]) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._on_progress = on_progress
        self._can_list = True

    async def missed(self, account: AccountState) -> tuple[ServerNotification, ...] | None:
        """All notifications since the last event that we know, oldest first; if the list has no such event, since the
        last sync by our clock.

        None if the server cannot list them, or if all that it lists seems to be older than the last sync, which proves
        nothing. Raises Unreachable and RateLimited.
        """
        listing = await self.read(account)
        if listing is None:
            return None
        missed = listing.since(account)
        return missed if missed or listing.has_all or listing.is_cut else None

    async def read(self, account: AccountState) -> RecentNotifications | None:
        """The top of the list. None if the server has no such list, or reading it fails by a fault of ours. Raises
        Unreachable and RateLimited."""
        try:
            return await self._read(account)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in reading the list of notifications: gaps are filled from /messages")
            return None

    async def _read(self, account: AccountState) -> RecentNotifications | None:
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
                return RecentNotifications(
                    tuple(unknown), max(item.ts for item in items if item.event.event_id in known)
                )
            is_old = any(item.ts < account.last_sync_ms - CLOCK_SLACK_MS for item in items)
            if is_old or not page.notifications or page.next_token in (None, token):
                break
            token = page.next_token
        else:
            log.info("More than %d notifications were missed: the oldest are asked for by room", MAX_PAGES * PAGE)
            return RecentNotifications(tuple(unknown), min((item.ts for item in unknown), default=None), is_cut=True)
        return RecentNotifications(tuple(unknown), None)
