"""Sets twins anew after an outage, so that phones do not wait for the homeserver to try again.

A homeserver whose pushes failed tries ever more rarely: Synapse after up to an hour, and whatever comes meanwhile waits
as well. Setting the same pusher anew makes it begin at once, and forget what had failed: that is taken from
GET /notifications, which lists it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.relay.model.hold import LIFETIME_MS, due_ms
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import Accepted, Push
from heliograph.relay.ports import PushIntake
from heliograph.relay.pushers.twins import Authorization, UpstreamTwins
from heliograph.relay.state.state import RelayState
from heliograph.relay.sync.listing import Entry, Listing
from heliograph.relay.wire.missed import missed_push
from heliograph.relay.wire.push import pack

log = logging.getLogger(__name__)

MARGIN_MS = 60_000
"""How far the clocks of homeserver and relay may be apart. A push that came after all is known by its event id."""
SHORT_MS = 10_000
"""After an outage that was no longer, only users of whom something is missing have their twins set anew."""


class TwinRenewal:
    """`renew` is for users whose twins were there before the start, once for each. `written_ms`: when (ms since 1970)
    the relay last wrote to its disk, which it does with every push.

    A homeserver that does not list notifications is left to its own tries, since nothing would bring what it forgets.
    """

    def __init__(
        self,
        state: RelayState,
        twins: UpstreamTwins,
        listing: Listing,
        queue: PushIntake,
        written_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._state = state
        self._twins = twins
        self._listing = listing
        self._queue = queue
        self._written_ms = written_ms
        self._was_long = now_ms() - written_ms > SHORT_MS
        self._now_ms = now_ms
        self._due = {user: self._twins_of(user) for user in state.registry.user_ids()}

    def is_due(self, user_id: str) -> bool:
        return user_id in self._due

    async def renew(self, user_id: str, authorization: Authorization) -> None:
        """Sends what the user's phones missed in the outage, and has the homeserver begin anew where it failed.

        Test: test_after_an_outage_phones_ring_without_waiting_for_the_homeserver. Raises NotAnswered, StorageError.
        """
        known = self._due.get(user_id, frozenset())
        mine = [twin for twin in self._state.registry.twins_of(user_id) if twin.hidden_pushkey in known]
        if not mine:
            self._due.pop(user_id, None)
            return
        phones = [twin for twin in mine if twin.url is not None and twin.is_enabled]
        is_missed = await self._take_missed(phones, authorization)
        if not self._listing.is_absent and (is_missed or self._was_long):
            for twin in mine:
                await self._twins.put(twin, authorization, append=True)
            # Once more: what failed since the first look was thrown away with the pusher of before.
            await self._take_missed(phones, authorization)
            log.info("The http pushers of %s were set anew after an outage", user_id)
        self._due.pop(user_id, None)

    async def _take_missed(self, twins: list[Twin], authorization: Authorization) -> bool:
        """Takes the pushes that did not come. Returns True if there were any."""
        # What is missed by nobody but wakers, the desktops' own requests find out.
        if not twins:
            return False
        listed = await self._listing.read(authorization, (), self._is_recent)
        recent = [entry for entry in listed.entries.values() if self._is_recent(entry)] if listed is not None else []
        is_missed = False
        for twin in twins:
            for entry in await self._missed(twin, recent):
                push = self._push(entry, twin)
                if push is not None and await self._queue.take(push) in (Accepted.QUEUED, Accepted.SETTLED):
                    is_missed = True
        return is_missed

    def _is_recent(self, entry: Entry) -> bool:
        return entry.ts >= max(self._written_ms - MARGIN_MS, self._now_ms() - LIFETIME_MS)

    async def _missed(self, twin: Twin, recent: list[Entry]) -> list[Entry]:
        """What came after the last push of this twin. If that is not among the entries, the twin may be younger than
        some of them, so only those count that are later than the last write, which may have been the twin's own."""
        known = await self._queue.known(twin.hidden_pushkey, [entry.event_id for entry in recent])
        last = max((place for place, entry in enumerate(recent) if entry.event_id in known), default=None)
        if last is not None:
            return recent[last + 1 :]
        return [entry for entry in recent if entry.ts >= self._written_ms]

    def _push(self, entry: Entry, twin: Twin) -> Push | None:
        """The push of this event for this phone. None: it is for nobody."""
        made = missed_push(entry.raw, twin)
        if made is None:
            return None
        now_ms = self._now_ms()
        hold_until_ms = self._state.hold_until(twin.user_id, twin.app_id, twin.pushkey, now_ms)
        return Push(
            hidden_pushkey=twin.hidden_pushkey,
            user_id=twin.user_id,
            event_id=entry.event_id,
            room_id=entry.room_id,
            thread_id=None,
            unread=None,
            received_ms=now_ms,
            due_ms=due_ms(now_ms, hold_until_ms),
            payload=pack(*made),
        )

    def _twins_of(self, user_id: str) -> frozenset[str]:
        return frozenset(twin.hidden_pushkey for twin in self._state.registry.twins_of(user_id))
