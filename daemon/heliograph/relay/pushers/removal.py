"""Takes pushers out of the relay, with everything that hangs on them."""

from __future__ import annotations

from collections.abc import Collection

from heliograph.relay.model.pushers import DirectPusher, Twin
from heliograph.relay.ports import Cancellations
from heliograph.relay.state.state import RelayState


class PusherRemoval:
    """Removes pushers here alone: nothing is asked of the homeserver. Each method raises StorageError."""

    def __init__(self, state: RelayState, queue: Cancellations) -> None:
        self._state = state
        self._queue = queue

    async def drop(self, twins: Collection[Twin] = (), direct: Collection[DirectPusher] = ()) -> None:
        """Forgets these pushers. Pushes of a twin are not sent; a device is ended if it has no other direct pusher."""
        if not twins and not direct:
            return
        registry = self._state.registry
        # First of all: a push that comes meanwhile is rejected instead of kept for nobody.
        await registry.drop(twins, direct)
        for twin in twins:
            await self._queue.forget(twin.hidden_pushkey)
        for pusher in direct:
            if not registry.is_direct(pusher.user_id, pusher.device_id):
                await self._state.end_device((pusher.user_id, pusher.device_id))

    async def has_waiting(self, twin: Twin) -> bool:
        """Whether a push waits for the twin's pusher."""
        return await self._queue.has_waiting(twin.hidden_pushkey)

    def is_rejected(self, twin: Twin) -> bool:
        """Whether the twin's gateway wants nothing more of it."""
        return self._queue.is_rejected(twin.hidden_pushkey)
