"""Takes up pushers again that stand at the homeserver, and that relay.db has lost or never had (an older backup).

The original stands in the twin's own `data` (`wire/original.py`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from heliograph.core.events import Json
from heliograph.core.text.clean import count_things
from heliograph.relay.model.pushers import DirectPusher, Twin, is_unclaimed, unclaimed
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire.original import find
from heliograph.relay.wire.pusher import gateway_url_in, key_of

log = logging.getLogger(__name__)


DOUBT_MS = 24 * 3_600_000
MOST_UNCLAIMED = 1_000
"""Pushers whose user is not known yet. Those beyond it wait for their users' requests."""
LARGEST_UNCLAIMED = 1_024
"""Bytes that each may have in its `data`."""


class PusherRecovery:
    """`gateway_url` is what twins have as theirs; `refuses` says why the relay may not send to a gateway, None if it
    may. Methods that are awaited raise StorageError."""

    def __init__(self, registry: Registry, *, gateway_url: str, refuses: Callable[[str], str | None]) -> None:
        self._registry = registry
        self._gateway_url = gateway_url
        self._refuses = refuses
        self._doubted_ms: int | None = None

    def is_in_doubt(self, now_ms: int) -> bool:
        """Whether a push came lately (ms since 1970) for a pusher that is lost here, so that there may be more."""
        return self._doubted_ms is not None and abs(now_ms - self._doubted_ms) < DOUBT_MS

    async def take_from_push(self, device: Json, now_ms: int, *, is_trusted: bool) -> Twin | None:
        """The twin of a push's device that nobody knows here; None if the push does not tell of a pusher that this
        relay may send to, or if its sender is not trusted: everybody can write what stands in a push."""
        found = find(device, device["pushkey"])
        # What tells of no original is a stranger's.
        if found is None:
            return None
        self._doubted_ms = now_ms
        # Whose it is, the homeserver has not said: until the user's list tells, it is nobody's, and waits for nobody.
        # Test: test_what_a_push_says_of_its_pusher_touches_no_users_pushes.
        if not is_trusted or self._registry.unclaimed >= MOST_UNCLAIMED or not self._is_allowed(found.twin):
            return None
        if len(json.dumps(found.twin.original)) > LARGEST_UNCLAIMED:
            return None
        twin = replace(found.twin, user_id=unclaimed(found.twin.hidden_pushkey))
        await self._registry.put_twin(twin)
        log.info("A push came for a pusher that relay.db had lost, and is sent on")
        return twin

    async def take_from_list(self, user_id: str, listed: Sequence[Json]) -> list[DirectPusher]:
        """Takes up the lost pushers in the homeserver's list of this user's, and returns the direct ones among them,
        whose devices are still to be begun."""
        number = 0
        direct: list[DirectPusher] = []
        # A client that has set its pusher anew meanwhile, past its twin, has the later word.
        anew = {key_of(entry) for entry in listed if gateway_url_in(entry) != self._gateway_url}
        for entry in self._lost(listed):
            found = find(entry, user_id)
            if found is None or not self._is_free(found.twin) or not self._is_allowed(found.twin):
                continue
            if (found.twin.app_id, found.twin.pushkey) in anew:
                continue
            await self._registry.put_twin(found.twin)
            if found.direct is not None and not self._registry.is_direct(user_id, found.direct.device_id):
                direct.append(found.direct)
            number += 1
        if number:
            log.info("relay.db had lost %s of %s, taken up again", count_things(number, "pusher"), user_id)
        return direct

    def _lost(self, listed: Sequence[Json]) -> Iterator[Json]:
        for entry in listed:
            is_ours = gateway_url_in(entry) == self._gateway_url
            twin = self._registry.twin_of(entry)
            is_lost = not self._registry.is_withdrawn(entry) if twin is None else is_unclaimed(twin)
            if is_ours and is_lost:
                yield entry

    def _is_free(self, twin: Twin) -> bool:
        """Whether nothing stands in the twin's place here."""
        return self._registry.twin_for(twin.user_id, twin.app_id, twin.pushkey) is None

    def _is_allowed(self, twin: Twin) -> bool:
        return twin.url is None or self._refuses(twin.url) is None
