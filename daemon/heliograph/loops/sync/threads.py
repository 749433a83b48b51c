"""Names threads by the words at their roots, which may have been written long ago."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection

from heliograph.core.events import Event
from heliograph.core.ids import EventId, RoomId
from heliograph.core.text.clean import count_things
from heliograph.core.text.messages import word_thread
from heliograph.errors import HeliographError, ServerError
from heliograph.loops.sync.decryption import Decrypter
from heliograph.ports.homeserver import Homeserver

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long a sync waits for the names: a thread without a name rings, too.
Test: test_a_slow_homeserver_holds_nothing_up_and_only_so_many_are_asked_for."""
MOST_AT_ONCE = 10
_REMEMBERED = 200


class ThreadNames:
    """Asks for each root once in the life of the daemon.

    Nothing of a root is kept on disk but its words, in the deliveries that they name.
    Test: test_a_root_is_asked_for_once.
    """

    def __init__(self, homeserver: Homeserver, decrypter: Decrypter) -> None:
        self._homeserver = homeserver
        self._decrypter = decrypter
        self._known: OrderedDict[EventId, str] = OrderedDict()

    async def ask(self, unnamed: Collection[tuple[RoomId, EventId]], ignored: Collection[str]) -> dict[EventId, str]:
        """Names by the event id of the root; "" for a thread that cannot be named. Raises StorageError."""
        unknown = sorted((room_id, root) for room_id, root in unnamed if root not in self._known)[:MOST_AT_ONCE]
        events: list[tuple[EventId, Event]] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                for room_id, root in unknown:
                    events += await self._fetch(room_id, root)
        except TimeoutError:
            untold = count_things(len(unknown) - len(events), "name of a thread is", "names of threads are")
            log.info("%s not told in time", untold)
        for _, root in unknown:
            # First as unnamed: one that was not told in time is not asked for again, and delays no other sync.
            self._known[root] = ""
        for root, event in events:
            self._known[root] = await self._name_soundly(event, ignored)
        names = {root: self._known.get(root, "") for _, root in unnamed}
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return names

    async def _fetch(self, room_id: RoomId, root: EventId) -> list[tuple[EventId, Event]]:
        try:
            event = await self._homeserver.event(room_id, root)
        except ServerError as trouble:
            log.info("The name of a thread in %s is not told: %s", room_id, trouble)
            return []
        except Exception:
            log.exception("Unexpected fault in asking for the name of a thread in %s", room_id)
            return []
        # The very event that was asked for: another one's words would stand as this thread's name.
        return [(root, event)] if isinstance(event, Event) and event.event_id == root else []

    async def _name_soundly(self, event: Event, ignored: Collection[str]) -> str:
        """The name, or "" if naming fails by a fault of ours."""
        try:
            return await self._name(event, ignored)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in naming the thread of %s", event.event_id)
            return ""

    async def _name(self, event: Event, ignored: Collection[str]) -> str:
        if event.sender in ignored or event.is_redacted:
            return ""
        readable = await self._decrypter.read(event)
        return "" if readable is None else word_thread(readable)
