"""What a direct pusher needs besides its record: a beginning in the list of notifications, and a waker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from heliograph.relay.model.carried import Carried
from heliograph.relay.model.pushers import DirectPusher, Json, Twin
from heliograph.relay.pushers.twins import Authorization, UpstreamTwins, hidden_pushkey
from heliograph.relay.state.carried import CarriedNotifications
from heliograph.relay.state.connections import DeviceConnections
from heliograph.relay.sync.listing import Listing
from heliograph.relay.wire import pusher as pusher_body

log = logging.getLogger(__name__)


class DirectDevices:
    """`begin` and `end` what is carried to a device; `with_waker` has it hear of what its filter hides."""

    def __init__(
        self,
        carried: CarriedNotifications,
        connections: DeviceConnections,
        listing: Listing,
        twins: UpstreamTwins,
        clock: Callable[[], int],
    ) -> None:
        self._carried = carried
        self._connections = connections
        self._listing = listing
        self._twins = twins
        self._clock = clock

    async def begin(self, user_id: str, device_id: str, authorization: Authorization) -> None:
        """What is in the list by now was there before the device's interest."""
        entries = await self._listing.newest(authorization)
        since_ts = max((entry.ts for entry in entries), default=0) if entries is not None else self._clock()
        known = [Carried(entry.event_id, entry.room_id, entry.ts) for entry in entries or ()]
        await self._carried.begin((user_id, device_id), since_ts, known)
        connection = self._connections.connection((user_id, device_id))
        connection.settle(list(connection.waiting))
        # What comes before the pusher is known here is looked for by the first poll.
        connection.is_fresh = True

    async def end(self, user_id: str, device_id: str) -> None:
        """It has no direct pusher any more. Raises StorageError."""
        await self._carried.end((user_id, device_id))
        self._connections.forget((user_id, device_id))

    async def with_waker(self, pusher: DirectPusher, listed: list[Json], authorization: Authorization) -> DirectPusher:
        """The same with a twin that hears of what rings. It was made with the device's own token, so it ends with the
        device: that is how the relay learns of it."""
        if pusher.waker is not None and any(entry.get("pushkey") == pusher.waker for entry in listed):
            return pusher
        original = pusher_body.waker_original(
            str(pusher.original["device_display_name"]), is_brief=not self._listing.is_absent
        )
        hidden = hidden_pushkey()
        waker = Twin(
            hidden, pusher.user_id, pusher_body.WAKER_APP_ID, hidden, None, original, device_id=pusher.device_id
        )
        answer = await self._twins.put(waker, authorization, append=True)
        if not answer.is_good:
            log.warning("The homeserver takes no http pusher for the relay: what its filter hides comes late")
            return replace(pusher, waker=None)
        return replace(pusher, waker=hidden)
