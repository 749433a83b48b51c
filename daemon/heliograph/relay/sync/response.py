"""The answer to a direct device's /sync: the homeserver's, with the notifications of its events added."""

from __future__ import annotations

import asyncio
import logging

from heliograph.errors import StorageError
from heliograph.relay.model.carried import Carried
from heliograph.relay.model.pushes import Why
from heliograph.relay.ports import Cancellations
from heliograph.relay.proxy.upstream import NotAnswered
from heliograph.relay.state.state import RelayState
from heliograph.relay.sync.listing import Entry, Listing
from heliograph.relay.sync.poll import Poll
from heliograph.relay.sync.reading import Reading
from heliograph.relay.sync.rooms_left import RoomsLeft
from heliograph.relay.sync.synthesis import Synthesis
from heliograph.relay.wire.sync import SyncBody, with_notifications

log = logging.getLogger(__name__)

GRACE_S = 0.03
"""How long a push may take to come after the answer that has its event. Only homeservers without GET /notifications are
waited for, which are one process: there the two are within 2 ms of one another."""
MAX_ASKED = 20
"""Marks, and rooms that were left, of one answer about which the homeserver may be asked. Of the others only the pushes
tell."""
MOST_LOOKS_AT_ONCE = 8
"""Devices for which it is looked after what they missed. After a restart all of them come at once, and the others wait
for their turn. Test: test_a_device_whose_turn_comes_late_is_told_of_what_it_missed_all_the_same."""
MAX_LOOKS = 3
"""How often an event that a push told of is looked for in the list."""


class SyncResponseBuilder:
    """Takes notifications from GET /notifications, asked with the request's own access token.

    Where the homeserver has no such list, notifications are made of pushes and events.
    """

    def __init__(
        self,
        state: RelayState,
        queue: Cancellations,
        listing: Listing,
        synthesis: Synthesis,
        reading: Reading,
        rooms_left: RoomsLeft,
    ) -> None:
        self._state = state
        self._queue = queue
        self._listing = listing
        self._synthesis = synthesis
        self._reading = reading
        self._rooms_left = rooms_left
        self._looks = asyncio.Semaphore(MOST_LOOKS_AT_ONCE)

    async def look(self, poll: Poll) -> None:
        """Finds the notifications that the device missed while the relay was down, and ends the poll for them."""
        async with self._looks:
            # Another poll of the device may have looked while this one waited.
            if poll.connection.is_fresh:
                await self._look(poll)

    async def _look(self, poll: Poll) -> None:
        key = poll.key
        needed = list(self._state.carried.open_in(key))
        try:
            listed = await self._listing.read(
                poll.authorization, needed, lambda entry: self._state.carried.wants(key, entry.event_id, entry.ts)
            )
        except NotAnswered as error:
            # The connection stays fresh, so that the next poll looks again.
            log.info("Notifications are not listed: %s", error)
            return
        poll.connection.is_fresh = False
        for entry in listed.entries.values() if listed else ():
            if self._state.carried.wants(key, entry.event_id, entry.ts):
                poll.connection.keep(entry.event_id, entry.room_id)
                # The homeserver may be asked already, and wait.
                poll.wake.set()

    async def attach(self, poll: Poll, scanned: SyncBody, known: frozenset[str], body: bytes) -> bytes:
        """The body with the notifications that this device has not acknowledged.

        What the response carries is on disk when this returns, so that the next `since` can acknowledge it. If a
        notification cannot be had or kept, the body goes without.
        """
        try:
            # First: of what this very answer says is read, redacted or left, nothing is to be told any more.
            await self._settle(poll, scanned)
            entries = await self._gather(poll, scanned, known)
            if not entries:
                return body
            carried = [Carried(entry.event_id, entry.room_id, entry.ts) for entry in entries]
            await self._state.carried.carry(poll.key, scanned.next_batch, carried)
        except NotAnswered as error:
            log.info("An answer goes without notifications: %s", error)
            return body
        except StorageError as error:
            log.warning("An answer goes without notifications: %s", error)
            return body
        # Only now: an event is owed to the device until the response that carries it is on disk.
        poll.connection.carry(entry.event_id for entry in entries)
        self._state.connections.counts["carried"] += len(entries)
        return with_notifications(body, [entry.raw for entry in entries])

    async def _settle(self, poll: Poll, scanned: SyncBody) -> None:
        """Takes back pushes and notifications of events that the answer itself says are redacted, read or left."""
        key = poll.key
        user_id = key[0]
        for room_id, event_ids in scanned.redactions.items():
            await self._queue.cancel_events(user_id, room_id, event_ids, Why.REDACTED)
        for number, read in enumerate(scanned.read):
            authorization = poll.authorization if number < MAX_ASKED else None
            await self._reading.take(user_id, read.room_id, read.mark, authorization, read.around)
        for number, room_id in enumerate(scanned.left):
            await self._rooms_left.take(user_id, room_id, poll.authorization if number < MAX_ASKED else None)
        opened = self._state.carried.open_in(key)
        gone = {event_id for redacted in scanned.redactions.values() for event_id in redacted if event_id in opened}
        await self._state.drop_events(key, gone)

    async def _gather(self, poll: Poll, scanned: SyncBody, known: frozenset[str]) -> list[Entry]:
        """The notifications for this answer, the oldest first. One whose event came too late waits for the next."""
        key, connection = poll.key, poll.connection
        needed = known | connection.waiting.keys()
        if not needed and not scanned.has_news:
            return []
        listed = await self._listing.read(
            poll.authorization, needed, lambda entry: self._state.carried.wants(key, entry.event_id, entry.ts)
        )
        if listed is None:
            return await self._synthesise(poll, scanned, known)
        entries = []
        is_covered = False
        for entry in reversed(listed.entries.values()):
            # An entry older than an event of the answer happened before the answer was made.
            is_covered = is_covered or entry.event_id in scanned.events
            is_told = entry.event_id in connection.waiting
            if not self._state.carried.wants(key, entry.event_id, None if is_told else entry.ts):
                continue
            if is_covered or entry.room_id in scanned.invites or entry.event_id in known:
                entries.append(entry)
            else:
                connection.keep(entry.event_id, entry.room_id)
        entries.reverse()
        if listed.is_whole:
            unlisted = needed - listed.entries.keys()
            await self._state.carried.drop(key, unlisted)
            connection.look_in_vain(unlisted, MAX_LOOKS)
        return entries

    async def _synthesise(self, poll: Poll, scanned: SyncBody, known: frozenset[str]) -> list[Entry]:
        key, connection = poll.key, poll.connection
        if scanned.has_news and not (connection.waiting.keys() & scanned.events.keys()):
            # The push of an event in this answer may be milliseconds away.
            poll.wake.clear()
            try:
                async with asyncio.timeout(GRACE_S):
                    await poll.wake.wait()
            except TimeoutError:
                pass
        opened = self._state.carried.open_in(key)
        told = {event_id: (pending.room_id, pending.notification) for event_id, pending in connection.waiting.items()}
        # A push says more than the record of an earlier response, so it goes first.
        told = {**{event_id: (each.room_id, {}) for event_id, each in opened.items()}, **told}
        entries = []
        for event_id, (room_id, pushed) in told.items():
            if event_id not in known and event_id not in scanned.events and room_id not in scanned.invites:
                continue
            raw = scanned.events.get(event_id)
            entry = await self._synthesis.build(poll.authorization, room_id, event_id, pushed, raw)
            if entry is None:
                await self._state.carried.drop(key, [event_id])
                connection.look_in_vain([event_id], 1)
            else:
                entries.append(entry)
        return sorted(entries, key=lambda entry: entry.ts)
