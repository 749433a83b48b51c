"""A sync names the rooms and event types it wants. A homeserver that refuses that is asked for all of them instead."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from heliograph.core.events import Sync
from heliograph.errors import Refused
from heliograph.ports.homeserver import SyncRequest

log = logging.getLogger(__name__)


class Narrowing:
    """Tells a refusal of what a sync names from a refusal of its token."""

    def __init__(self) -> None:
        self.is_refused = False
        """The homeserver takes no narrow sync, so that none is to be sent."""
        self._is_refused_widely = False
        """The last narrow sync was refused, and the wide one after it: another fault, which is not to cost two requests
        each time."""

    async def ask(self, sync: Callable[[SyncRequest], Awaitable[Sync | None]], request: SyncRequest) -> Sync | None:
        """What `sync` returns. If that is a refusal with HTTP 400 of a narrow request, it is asked again for all."""
        try:
            answer = await sync(request)
        except Refused as refusal:
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
