"""Puts a user's pushers back at the homeserver as their clients set them, with the user's own access token.

For a relay that is to be taken out. Afterwards nothing of it is left there, and phones ring without it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from heliograph.core.events import Json
from heliograph.relay.departure import Departure
from heliograph.relay.model.pushers import Twin
from heliograph.relay.proxy.callers import Caller
from heliograph.relay.pushers.direct import DirectPushers
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.pushers.twins import UpstreamTwins
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire.original import restored_body
from heliograph.relay.wire.pusher import key_of

log = logging.getLogger(__name__)

PusherDevice = tuple[str, str | None]


class PusherRestoration:
    """`put_back` raises NotAnswered and StorageError."""

    def __init__(
        self,
        departure: Departure,
        registry: Registry,
        twins: UpstreamTwins,
        direct: DirectPushers,
        removal: PusherRemoval,
    ) -> None:
        self._departure = departure
        self._registry = registry
        self._twins = twins
        self._direct = direct
        self._removal = removal
        self._elsewhere: dict[PusherDevice, list[Json]] = {}
        """Pushers of a device that were put back with another device's token, so that they belong to that one now."""

    @property
    def is_leaving(self) -> bool:
        return self._departure.is_leaving

    async def put_back(self, caller: Caller, listed: list[Json], authorization: Mapping[str, str]) -> list[Json]:
        """Puts the user's pushers back, and returns the list as the homeserver would tell it now.

        A twin is known here until the last push that waits for its pusher is sent.
        """
        user_id = caller.user_id
        # First: from here on no push waits for a desktop.
        for pusher in self._registry.direct_of(user_id):
            await self._direct.remove(pusher, authorization)
        changed = False
        for entry in listed:
            if self._twins.is_ours(entry):
                await self._put_back(caller, entry, authorization)
                changed = True
        changed |= await self._give_back(caller, authorization)
        if changed:
            listed = await self._twins.listed(authorization) or []
        await self._forget_idle(user_id, listed)
        return listed

    async def _put_back(self, caller: Caller, entry: Json, authorization: Mapping[str, str]) -> None:
        key, twin = key_of(entry), self._twins.in_list(caller.user_id, entry)
        if key is None:
            return
        if twin is None or twin.url is None:
            # A waker, which serves the relay alone, or a twin of which nothing tells the original.
            await self._twins.remove(*key, authorization)
            return
        # The original first: a message in between rings twice, and would otherwise ring nowhere.
        body = restored_body(twin)
        if not (await self._twins.set(body, authorization)).is_good:
            log.warning("The homeserver does not take back a pusher of %s, which is tried again", caller.user_id)
            return
        if not twin.is_adopted:
            await self._twins.remove(*key, authorization)
            self._note_device(caller, twin, body)
        log.info("A pusher of %s stands at the homeserver again as it was set", caller.user_id)

    def _note_device(self, caller: Caller, twin: Twin, body: dict[str, Any]) -> None:
        if twin.device_id is not None and twin.device_id != caller.device_id:
            self._elsewhere.setdefault((caller.user_id, twin.device_id), []).append(body)

    async def _give_back(self, caller: Caller, authorization: Mapping[str, str]) -> bool:
        """Sets pushers of this device anew that were put back by another one: they are to end with their own device.

        Test: test_a_pusher_that_another_device_put_back_ends_with_its_own.
        """
        bodies = self._elsewhere.pop((caller.user_id, caller.device_id), [])
        for body in bodies:
            # Homeservers leave a pusher that they have to the device that has set it.
            await self._twins.remove(body["app_id"], body["pushkey"], authorization)
            await self._twins.set(body, authorization)
        return bool(bodies)

    async def _forget_idle(self, user_id: str, listed: list[Json]) -> None:
        standing = {
            twin.hidden_pushkey for entry in listed if (twin := self._twins.in_list(user_id, entry)) is not None
        }
        for twin in self._registry.twins_of(user_id):
            if twin.hidden_pushkey not in standing and not await self._removal.has_waiting(twin):
                await self._removal.drop([twin])
