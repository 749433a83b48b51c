"""The /sync requests of one account: what each asks for, and how one that waits for news is ended early."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from heliograph.core.events import JoinedRoom, Sync
from heliograph.loops.sync.commits import Commits
from heliograph.loops.sync.contact import Contact
from heliograph.loops.sync.narrowing import Narrowing
from heliograph.loops.sync.rulebook import Rulebook
from heliograph.ports.homeserver import Homeserver, SyncRequest

log = logging.getLogger(__name__)

TIMELINE_LIMIT = 20
"""Events of each room in one sync; what lies before them is asked for apart (`gaps`)."""


class Poller:
    """Makes the requests, from what the other parts of the loop know."""

    def __init__(
        self,
        homeserver: Homeserver,
        commits: Commits,
        rulebook: Rulebook,
        contact: Contact,
        poll_s: Callable[[], float],
    ) -> None:
        """`poll_s` says for how many seconds the next request may wait for news."""
        self._homeserver = homeserver
        self._commits = commits
        self._rulebook = rulebook
        self._contact = contact
        self._poll_s = poll_s
        self._narrowing = Narrowing()
        self._timeline_limit = TIMELINE_LIMIT
        self._poll: asyncio.Timeout | None = None
        """Ends the poll that is waiting for news. None: no poll is."""

    async def request(self, *, is_hurried: bool) -> SyncRequest:
        """The next request; if hurried, one that does not wait for news. Raises StorageError.

        Catching up returns at once, and wants every room's receipts: what was read during the absence must not ring.
        Later requests want only those of rooms with something open, since others' receipts would wake us.
        Test: test_what_was_read_elsewhere_during_an_absence_does_not_ring.
        """
        is_catching_up, is_wide = self._contact.catching_up.is_on, self._narrowing.is_refused
        return SyncRequest(
            since=self._commits.account.next_batch,
            timeout_ms=0 if is_catching_up or is_hurried else int(1000 * self._poll_s()),
            receipts_in=None if is_catching_up or is_wide else await self._commits.read_open_rooms(),
            event_types=None if is_wide else self._rulebook.event_types,
            timeline_limit=self._timeline_limit,
        )

    async def ask(self, request: SyncRequest) -> Sync | None:
        """The answer. None if somebody began to wait who would rather have what there is now than wait for more.

        Raises ServerError.
        """
        return await self._narrowing.ask(self._ask, request)

    async def receipts_left_out(self, request: SyncRequest, sync: Sync) -> Sync | None:
        """The receipts of rooms in which something rings only since this answer, so that the request asked for none.

        A message may be read before the very sync comes that tells of it, while the daemon is busy between two polls.
        No later sync tells of that receipt, so it is asked for once more: only where the homeserver counts nothing as
        unread, which seldom is so. Raises ServerError.
        Test: test_what_is_read_before_the_sync_that_tells_of_it_is_withdrawn.
        """
        if request.receipts_in is None:
            return None
        open_rooms = self._commits.open_rooms - request.receipts_in
        rooms = frozenset(
            room.room_id for room in sync.joined if room.room_id in open_rooms and room.notification_count == 0
        )
        if not rooms:
            return None
        told = await self._homeserver.sync(SyncRequest(request.since, 0, rooms, frozenset(), timeline_limit=1))
        joined = (room for room in told.joined if room.room_id in rooms and room.receipts)
        return Sync(sync.next_batch, joined=tuple(JoinedRoom(room.room_id, receipts=room.receipts) for room in joined))

    def end_poll(self) -> None:
        """Ends the poll that is waiting for news, if one is."""
        if self._poll is not None:
            # The poll has a time-out without an end, which is over from now on: its request is cancelled.
            self._poll.reschedule(asyncio.get_running_loop().time())

    def shrink(self) -> bool:
        """Asks for less of each room, after an answer that was too large. Returns False if there is no less."""
        if self._timeline_limit == 1:
            return False
        log.warning("The sync is too large: asking for one event of each room")
        self._timeline_limit = 1
        return True

    def widen(self) -> None:
        """Asks for as much of each room as usual again."""
        self._timeline_limit = TIMELINE_LIMIT

    async def _ask(self, request: SyncRequest) -> Sync | None:
        if not request.timeout_ms:
            return await self._homeserver.sync(request)
        if self._contact.collecting.waiters:
            # Since the request was made: there was no poll yet that `end_poll` could have ended.
            return None
        try:
            async with asyncio.timeout(None) as self._poll:
                return await self._homeserver.sync(request)
        except TimeoutError:
            return None
        finally:
            self._poll = None
