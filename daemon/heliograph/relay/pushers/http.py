"""Http pushers, in whose place a twin stands at the homeserver."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from heliograph.core.events import Json
from heliograph.relay.model.pushers import Twin
from heliograph.relay.proxy.callers import Caller
from heliograph.relay.proxy.upstream import Answer
from heliograph.relay.pushers.direct import DirectPushers
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.pushers.twins import Authorization, UpstreamTwins, hidden_pushkey
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire.pusher import (
    BadPusher,
    device_in,
    enabled_in,
    gateway_url_in,
    key_of,
    original_of,
    replaces_others,
)

log = logging.getLogger(__name__)


class HttpPushers:
    """Sets and removes http pushers. Each method returns the answer to POST /pushers/set, and raises NotAnswered and
    StorageError. `refusal_of` says why the relay may not send to a gateway, None if it may."""

    def __init__(
        self,
        registry: Registry,
        twins: UpstreamTwins,
        direct: DirectPushers,
        removal: PusherRemoval,
        refusal_of: Callable[[str], Awaitable[str | None]],
    ) -> None:
        self._registry = registry
        self._twins = twins
        self._direct = direct
        self._removal = removal
        self._refusal_of = refusal_of

    async def set(self, caller: Caller, key: tuple[str, str], body: Json, authorization: Authorization) -> Answer:
        """Sets a pusher of kind http, by a twin. Raises BadPusher, too, if the relay may not send to its gateway."""
        url = gateway_url_in(body)
        if url is None:
            return await self.set_upstream(caller.user_id, key, body, authorization)
        # Left to the homeserver, the phone would ring beside the desktop, and nobody would know why.
        # Test: test_a_gateway_that_the_relay_may_not_send_to_is_refused_with_a_sentence.
        if (why := await self._refusal_of(url)) is not None:
            raise BadPusher(why)
        original = original_of(body)
        if (why := self._twins.refuses_to_hold(caller.user_id, key, url, original)) is not None:
            # The homeserver says whether it takes it, and sends to it itself.
            log.info("An http pusher of %s stays with the homeserver: %s", caller.user_id, why)
            return await self.set_upstream(caller.user_id, key, body, authorization)
        listed = await self._twins.listed(authorization) or []
        wanted = Twin(hidden_pushkey(), caller.user_id, *key, url, original, enabled_in(body) is not False)
        append = not replaces_others(body)
        # Asked of the homeserver, which may have lost a twin that
        # the registry still has: changing that would set nothing.
        before = await self._still_listed(self._registry.twin_for(caller.user_id, *key), listed)
        if before is not None:
            return await self._change(before, wanted, authorization, append=append)
        direct = self._registry.direct_for(caller.user_id, *key)
        if direct is not None:
            await self._direct.remove(direct, authorization)
        # A pusher of before the relay keeps its pushkey and its device.
        entry = next((entry for entry in listed if key_of(entry) == key), None)
        if entry is not None:
            adopted = replace(wanted, device_id=device_in(entry), is_adopted=True)
            return await self._twins.put(adopted, authorization, append=append)
        new = replace(wanted, device_id=caller.device_id)
        if not append:
            await self._twins.claim(new, authorization)
        return await self._twins.put(new, authorization, append=append)

    async def set_upstream(
        self, user_id: str, key: tuple[str, str], body: Json, authorization: Authorization
    ) -> Answer:
        """Sets a pusher that the homeserver alone serves. It may take the name of one of the relay's."""
        answer = await self._twins.set(body, authorization)
        if not answer.is_good:
            return answer
        direct, twin = self._registry.direct_for(user_id, *key), self._registry.twin_for(user_id, *key)
        if direct is not None:
            await self._direct.remove(direct, authorization)
        if twin is not None:
            await self._twins.retire(twin, authorization)
        return answer

    async def remove(self, user_id: str, key: tuple[str, str], authorization: Authorization) -> Answer:
        """Removes the pusher of this name, of whatever kind."""
        direct = self._registry.direct_for(user_id, *key)
        if direct is not None:
            await self._direct.remove(direct, authorization)
        if direct is None or self._registry.twin_for(user_id, *key) is not None:
            return await self._twins.remove_named(user_id, key, authorization)
        return Answer(200, b"{}")

    async def _still_listed(self, twin: Twin | None, listed: list[Json]) -> Twin | None:
        """The twin itself; None if the homeserver has forgotten the twin, which is forgotten here, too."""
        if twin is None or any(self._twins.in_list(twin.user_id, entry) == twin for entry in listed):
            return twin
        await self._removal.drop([twin])
        return None

    async def _change(self, before: Twin, wanted: Twin, authorization: Authorization, *, append: bool) -> Answer:
        after = replace(before, url=wanted.url, original=wanted.original, is_enabled=wanted.is_enabled)
        if not append:
            await self._twins.claim(after, authorization)
        if not self._twins.are_alike(before, after):
            return await self._twins.put(after, authorization, append=append or not before.is_adopted)
        # An unchanged pusher is not sent upstream: Synapse would throw away what is pending for it.
        # Test: test_an_unchanged_pusher_is_not_sent_to_the_homeserver.
        if after != before:
            await self._registry.put_twin(after)
        return Answer(200, b"{}")
