"""Widens the filter of a /sync for a homeserver that refuses to have rooms or event types named.

A narrow sync that is refused with 400 is repeated at once for all rooms and types, and no later sync is narrow. Only if
the wide one is refused, too, is the sync token to blame.
Tests: test_a_narrow_sync_that_is_refused_is_asked_widely_at_once_and_from_then_on,
test_a_token_that_is_refused_leaves_syncs_narrow.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from heliograph.core.events import Sync
from heliograph.errors import Refused
from heliograph.ports.homeserver import SyncRequest

log = logging.getLogger(__name__)


class Narrowing:
    """Tells a refusal of the filter from a refusal of the token."""

    def __init__(self) -> None:
        self.is_refused = False
        """The homeserver takes no narrow sync: do not make any."""
        self._is_refused_widely = False
        """The last narrow sync was refused, and so was the wide one after it: the fault is another one, which must not
        cost two requests each time."""

    async def ask(self, sync: Callable[[SyncRequest], Awaitable[Sync | None]], request: SyncRequest) -> Sync | None:
        """Returns what `sync` returns for the request or, if a narrow one is refused with 400, for the widened request.
        Raises what `sync` raises."""
        try:
            answer = await sync(request)
        except Refused as refusal:
            # Synapse and others answer 400 to a filter and to a token
            # that they do not like: only another try tells them apart.
            if refusal.status != 400 or not request.is_narrow or self._is_refused_widely:
                raise
            answer = await self._ask_widely(sync, request)
            self.is_refused = True
            log.warning("The homeserver refuses a narrow sync (%s): asking for all rooms and event types", refusal)
        self._is_refused_widely = False
        return answer

    async def _ask_widely(
        self, sync: Callable[[SyncRequest], Awaitable[Sync | None]], request: SyncRequest
    ) -> Sync | None:
        try:
            return await sync(request.widened())
        except Refused:
            self._is_refused_widely = True
            raise
