"""Acknowledgements: the `since` of a direct device's /sync names the response whose notifications arrived."""

from __future__ import annotations

import logging

from aiohttp import web

from heliograph.errors import StorageError
from heliograph.relay.model.carried import Key
from heliograph.relay.ports import Cancellations, Upkeep
from heliograph.relay.proxy.callers import Caller, Callers, authorization_of
from heliograph.relay.state.state import RelayState

log = logging.getLogger(__name__)


class SyncAcknowledgements:
    """Only a `since` that equals the next_batch of a response with notifications acknowledges these.

    Tokens are not marked in any way: marks would break every other endpoint that takes a token.
    Test: test_a_lost_response_is_made_up_for_by_the_next.
    """

    def __init__(self, callers: Callers, state: RelayState, queue: Cancellations, upkeep: Upkeep) -> None:
        self._callers = callers
        self._state = state
        self._queue = queue
        self._upkeep = upkeep

    async def take(self, request: web.Request, since: str) -> Key | None:
        """Keeps the acknowledgement of the direct device that sends the request, and returns the device.

        None: no device with a direct pusher sends it. Raises NotAnswered.
        """
        # Without any direct device not even the caller needs to be known.
        if not self._state.registry.has_direct:
            return None
        caller, authorization = await self._callers.identify(request), authorization_of(request)
        if not isinstance(caller, Caller) or caller.device_id is None or authorization is None:
            return None
        key = (caller.user_id, caller.device_id)
        is_direct = self._state.registry.is_direct(*key)
        is_astray = is_direct and self._state.connections.connection(key).is_astray(since)
        self._upkeep.follow(*key, authorization, is_astray=is_astray)
        await self._acknowledge(key, since)
        # A pusher that is switched off may be switched on before this request is answered.
        return key if self._state.registry.is_direct(*key) else None

    async def _acknowledge(self, key: Key, since: str) -> None:
        event_ids = self._state.carried.acknowledged_by(key, since)
        if not event_ids:
            return
        try:
            # In this order: if the relay is killed between the two, the device is told once more, and nobody rings.
            await self._queue.acknowledge(*key, event_ids)
            await self._state.acknowledge(key, since, event_ids)
        except StorageError as error:
            log.warning("An acknowledgement could not be kept: %s", error)
