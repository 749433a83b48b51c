"""Brings a user's pushers here in line with those at the homeserver, which clients may have changed past the relay."""

from __future__ import annotations

import logging

from heliograph.core.events import Json
from heliograph.core.text.clean import count_things
from heliograph.relay.proxy.callers import Caller
from heliograph.relay.pushers.direct import DirectPushers
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.pushers.restoration import PusherRestoration
from heliograph.relay.pushers.twins import Authorization, UpstreamTwins
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire.pusher import DIRECT_KINDS, BadPusher, as_set, device_in, enabled_in, key_of

log = logging.getLogger(__name__)


class PusherReconciliation:
    """`agree` and `forget_gone` raise NotAnswered and StorageError."""

    def __init__(
        self,
        registry: Registry,
        twins: UpstreamTwins,
        direct: DirectPushers,
        removal: PusherRemoval,
        restoration: PusherRestoration,
    ) -> None:
        self._registry = registry
        self._twins = twins
        self._direct = direct
        self._removal = removal
        self._restoration = restoration

    async def agree(self, caller: Caller, listed: list[Json], authorization: Authorization) -> list[Json]:
        """Makes both sides agree, and returns the list as the homeserver would tell it now."""
        user_id = caller.user_id
        if self._restoration.is_leaving:
            return await self._restoration.put_back(caller, listed, authorization)
        # First: a twin that the homeserver deleted must not be shown, and its pushes would never come.
        await self.forget_gone(user_id, listed)
        listed = await self._take_direct(caller, listed, authorization)
        listed = await self._twins.without_orphans(user_id, listed, authorization)
        # Without a direct device no push waits, so only what takes the place of a twin goes through the relay.
        return await self._twins.adopt_all(
            user_id, listed, authorization, is_needed=bool(self._registry.direct_of(user_id))
        )

    async def forget_gone(self, user_id: str, listed: list[Json]) -> None:
        """Forgets the pushers that the homeserver forgot."""
        alive = {twin.hidden_pushkey for entry in listed if (twin := self._twins.in_list(user_id, entry)) is not None}
        # A client that sets its pusher past the relay overwrites an adopted twin. That one is adopted again, so that
        # the pushes that wait for the pusher go on waiting.
        overwritten = {
            key_of(entry)
            for entry in listed
            if entry.get("kind") == "http" and self._twins.in_list(user_id, entry) is None
        }
        gone = [
            twin
            for twin in self._registry.twins_of(user_id)
            if twin.hidden_pushkey not in alive and not (twin.is_adopted and (twin.app_id, twin.pushkey) in overwritten)
        ]
        names = {twin.hidden_pushkey for twin in gone}
        # A waker ends with its device, so its end is that of the direct pusher.
        direct = [each for each in self._registry.direct_of(user_id) if each.waker in names]
        if gone or direct:
            log.info("%s of %s gone at the homeserver", count_things(len(gone), "pusher"), user_id)
            await self._removal.drop(gone, direct)

    async def _take_direct(self, caller: Caller, listed: list[Json], authorization: Authorization) -> list[Json]:
        """Takes from the homeserver the direct pushers that clients set past the relay: there they do nothing.

        Test: test_a_direct_pusher_that_the_homeserver_took_is_taken_back.
        """
        theirs = [entry for entry in listed if entry.get("kind") in DIRECT_KINDS]
        for entry in theirs:
            key = key_of(entry)
            if key is None:
                continue
            device_id = device_in(entry)
            if device_id is not None or self._registry.direct_for(caller.user_id, *key) is not None:
                body = {**as_set(entry), "append": True, "enabled": enabled_in(entry) is not False}
                try:
                    await self._direct.set(caller, body, authorization, device_id=device_id)
                except BadPusher as wrong:
                    log.info("A direct pusher of %s stays with the homeserver: %s", caller.user_id, wrong)
                    continue
            # Whose device is not told is left to its client, which finds its pusher missing and sets it again.
            await self._twins.remove(*key, authorization)
        if not theirs:
            return listed
        return await self._twins.listed(authorization) or listed
