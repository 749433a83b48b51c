"""Takes back the pushes of what the user has read, and asks the homeserver what stands where if that hangs on it.

A receipt often points at an event that nobody was pushed: a reaction, an edit, a message of the user's own. The order
of pushes tells nothing of those. Which mark reads what, `core.reading` alone says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from heliograph.core.reading import Mark
from heliograph.relay.model.around import NOTHING, Around
from heliograph.relay.ports import Cancellations
from heliograph.relay.proxy.upstream import NotAnswered, Upstream
from heliograph.relay.wire.context import read_context
from heliograph.relay.wire.ids import is_kept_mark
from heliograph.relay.wire.sync import loads

log = logging.getLogger(__name__)

AROUND = 100
"""Events asked for around the one that was read, half of them before it. Pushes wait for seconds: more rarely come."""
MAX_BODY = 16 * 1024 * 1024


class Reading:
    """For all users."""

    def __init__(self, queue: Cancellations, upstream: Upstream) -> None:
        self._queue = queue
        self._upstream = upstream

    async def take(
        self,
        user_id: str,
        room_id: str,
        mark: Mark,
        authorization: Mapping[str, str] | None,
        around: Around = NOTHING,
    ) -> None:
        """The user has read up to this event. `around`: what is known of its neighbours already. A mark that names no
        event or room, as clients may set it, is passed over. Raises StorageError.

        The homeserver is asked with the user's own `authorization`, once, and only if a push waits that this may take
        back.
        """
        if not is_kept_mark(room_id, mark):
            return
        if authorization is not None and await self._queue.is_unplaced(user_id, room_id, mark, around):
            around = await self._ask(room_id, mark.event_id, authorization)
        await self._queue.cancel_read(user_id, room_id, mark, around)

    async def _ask(self, room_id: str, event_id: str, authorization: Mapping[str, str]) -> Around:
        query = urlencode({"limit": str(AROUND), "filter": '{"lazy_load_members":true}'})
        path = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/context/{quote(event_id, safe='')}?{query}"
        try:
            answer = await self._upstream.ask("GET", path, authorization, limit=MAX_BODY)
        except NotAnswered as error:
            log.info("Where an event that was read stands is not told: %s", error)
            return NOTHING
        return read_context(loads(answer.body)) if answer.is_good else NOTHING
