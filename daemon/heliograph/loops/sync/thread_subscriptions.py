"""Asks which threads the user follows, where a push rule wants to know and the homeserver can tell (MSC4306)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from heliograph.core.events import Sync
from heliograph.core.ids import EventId, RoomId
from heliograph.core.sync.needs import threads_wanting_subscriptions
from heliograph.core.sync.situation import Situation
from heliograph.core.text.clean import count_things
from heliograph.errors import HeliographError, ServerError
from heliograph.loops.sync.mode import ModeKeeper
from heliograph.ports.homeserver import Homeserver

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a sync waits for all of them."""
MOST_AT_ONCE = 10
"""Threads asked about at once. Of the others nobody knows whether they are followed: no such condition matches."""
BELIEVED_MS = 60_000
"""How long an answer is believed: another client may follow a thread, or end that, and no /sync tells of it."""
_REMEMBERED = 500


class ThreadSubscriptions:
    """Answers for one account. `clock` gives milliseconds since 1970."""

    def __init__(self, homeserver: Homeserver, mode: ModeKeeper, clock: Callable[[], int]) -> None:
        self._homeserver = homeserver
        self._mode = mode
        self._clock = clock
        self._known: OrderedDict[EventId, tuple[int, bool]] = OrderedDict()
        """When it was told, and whether the user follows the thread, by its root."""

    async def ask(self, sync: Sync, situation: Situation) -> dict[EventId, bool]:
        """Whether the user follows the threads of this sync, by their roots, as far as that matters and is told."""
        if not self._mode.features.has_thread_subscriptions:
            return {}
        wanted = threads_wanting_subscriptions(sync, situation)
        now_ms = self._clock()
        fresh = {root for root, (told_ms, _) in self._known.items() if abs(now_ms - told_ms) < BELIEVED_MS}
        unknown = sorted((room_id, root) for room_id, root in wanted if root not in fresh)
        try:
            async with asyncio.timeout(PATIENCE_S):
                for room_id, root in unknown[:MOST_AT_ONCE]:
                    await self._ask(room_id, root, now_ms)
        except TimeoutError:
            log.info("Not told in time which of %s are followed", count_things(len(unknown), "thread"))
        told = {root: self._known[root][1] for _, root in wanted if root in self._known}
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return told

    async def _ask(self, room_id: RoomId, root: EventId, now_ms: int) -> None:
        # First forgotten: what cannot be asked again is not known any more.
        self._known.pop(root, None)
        try:
            self._known[root] = (now_ms, await self._homeserver.is_subscribed(room_id, root))
        except ServerError as trouble:
            log.info("Whether the thread of %s in %s is followed is not told: %s", root, room_id, trouble)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in asking whether the thread of %s in %s is followed", root, room_id)
