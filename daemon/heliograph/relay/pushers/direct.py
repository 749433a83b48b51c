"""Direct pushers, which only the relay knows: set and removed, each with a waker at the homeserver."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from heliograph.core.events import Json
from heliograph.relay.model.carried import Carried
from heliograph.relay.model.pushers import DirectPusher, Twin
from heliograph.relay.proxy.callers import Caller, fingerprint
from heliograph.relay.proxy.confirmation import Confirmation
from heliograph.relay.proxy.sliding import SlidingDevices
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.pushers.twins import Authorization, UpstreamTwins, hidden_pushkey
from heliograph.relay.state.state import RelayState
from heliograph.relay.sync.listing import Listing
from heliograph.relay.wire.pusher import WAKER_APP_ID, BadPusher, direct_pusher, key_of, waker_original

log = logging.getLogger(__name__)

MAX_DIRECT = 50
"""Direct pushers of one user."""


class DirectPushers:
    """Sets and removes direct pushers. Each method raises NotAnswered and StorageError."""

    def __init__(
        self,
        state: RelayState,
        twins: UpstreamTwins,
        removal: PusherRemoval,
        listing: Listing,
        confirmation: Confirmation,
        sliding: SlidingDevices,
        now_ms: Callable[[], int],
    ) -> None:
        self._state = state
        self._twins = twins
        self._removal = removal
        self._listing = listing
        self._confirmation = confirmation
        self._sliding = sliding
        self._now_ms = now_ms

    async def set(
        self, caller: Caller, body: Json, authorization: Authorization, *, device_id: str | None = None
    ) -> None:
        """POST /pushers/set of a direct kind. `device_id`: whose the pusher is, if not the caller's. Raises BadPusher.

        Twins take the place of the user's http pushers at the homeserver, so that their pushes wait for the device.
        """
        await self._forget_without_device(caller.user_id, device_id or caller.device_id, body, authorization)
        wanted = self._wanted(caller.user_id, device_id or caller.device_id, body)
        user_id, key = caller.user_id, (wanted.app_id, wanted.pushkey)
        is_new = self._state.registry.direct_for(user_id, *key) is None
        is_own = caller.device_id == wanted.device_id
        was_enabled = self._state.registry.is_enabled(user_id, wanted.device_id)
        listed = await self._clear_name(user_id, key, authorization)
        # Before the pusher is known, so that nothing from before is taken for news.
        if wanted.is_enabled and not was_enabled:
            await self._begin_device(user_id, wanted.device_id, authorization)
        if is_own:
            wanted = await self._with_waker(wanted, listed, authorization)
        await self._state.registry.put_direct(wanted)
        with contextlib.ExitStack() as stack:
            token = fingerprint(authorization)
            if is_own and token not in self._sliding:
                # Between two polls, its next one may come later than the first push: the device is there already.
                # Test: test_a_desktop_that_has_set_its_pusher_is_waited_for_before_its_next_poll.
                stack.enter_context(self._state.connections.connection((user_id, wanted.device_id)).request())
            if is_own:
                # Its /sync that is waiting goes on as that of a direct device.
                self._state.connections.turn(token)
            # Last, since pushes wait only for a direct pusher that is known.
            await self._twins.adopt_all(user_id, listed, authorization)
        if is_new:
            log.info("%s has a direct pusher on device %s", user_id, wanted.device_id)

    async def take_up(self, pusher: DirectPusher, authorization: Authorization) -> None:
        """Knows a direct pusher again that relay.db has lost. What rang meanwhile is from before."""
        if pusher.is_enabled:
            await self._begin_device(pusher.user_id, pusher.device_id, authorization)
        await self._state.registry.put_direct(pusher)

    async def remove(self, pusher: DirectPusher, authorization: Authorization) -> None:
        """Removes a direct pusher from the relay, and its waker from the homeserver."""
        waker = self._state.registry.twin(pusher.waker) if pusher.waker is not None else None
        await self._removal.drop([] if waker is None else [waker], [pusher])
        if waker is not None:
            await self._twins.remove(waker.app_id, waker.hidden_pushkey, authorization)
        log.info("%s has no direct pusher on device %s any more", pusher.user_id, pusher.device_id)

    async def _forget_without_device(
        self, user_id: str, device_id: str | None, body: Json, authorization: Authorization
    ) -> None:
        """Forgets the pusher of this name if that of another device which is gone: its client has signed in anew, and
        kept the pushkey. Test: test_a_direct_pusher_whose_device_is_gone_passes_to_the_one_that_sets_it.
        """
        key = key_of(body)
        before = self._state.registry.direct_for(user_id, *key) if key is not None else None
        if before is None or before.device_id == device_id:
            return
        if await self._confirmation.is_device_gone(before.device_id, authorization):
            await self.remove(before, authorization)

    def _wanted(self, user_id: str, device_id: str | None, body: Json) -> DirectPusher:
        """The pusher that the body asks for. Raises BadPusher."""
        if device_id is None:
            raise BadPusher("A direct pusher belongs to a device, and this access token has none")
        wanted = direct_pusher(body, user_id, device_id)
        before = self._state.registry.direct_for(user_id, wanted.app_id, wanted.pushkey)
        if before is not None:
            # One device may switch another's pusher, which stays that other's.
            return replace(wanted, device_id=before.device_id, waker=before.waker)
        if len(self._state.registry.direct_of(user_id)) >= MAX_DIRECT:
            raise BadPusher(f"A user has at most {MAX_DIRECT} direct pushers", "M_RESOURCE_LIMIT_EXCEEDED")
        return wanted

    async def _clear_name(self, user_id: str, key: tuple[str, str], authorization: Authorization) -> list[Json]:
        """Removes the http pusher of this name, which a direct one replaces. Returns the user's others, as listed."""
        listed = await self._twins.listed(authorization) or []
        if self._state.registry.twin_for(user_id, *key) or any(key_of(entry) == key for entry in listed):
            await self._twins.remove_named(user_id, key, authorization)
        return [entry for entry in listed if key_of(entry) != key]

    async def _begin_device(self, user_id: str, device_id: str, authorization: Authorization) -> None:
        """From now on the device is notified. Events that GET /notifications lists by now are from before."""
        entries = await self._listing.newest(authorization)
        # By the homeserver's own times where it lists any: the two clocks may differ.
        since_ts = max((entry.ts for entry in entries), default=0) if entries is not None else self._now_ms()
        known = [Carried(entry.event_id, entry.room_id, entry.ts) for entry in entries or ()]
        await self._state.begin_device((user_id, device_id), since_ts, known)

    async def _with_waker(self, pusher: DirectPusher, listed: list[Json], authorization: Authorization) -> DirectPusher:
        """Registers a hidden http pusher, so that the relay also learns of events the device's /sync filter excludes.

        The waker is made with the device's own token, so that the homeserver ends it with the device: that is how the
        relay learns of the end. Test: test_logging_out_around_the_relay_is_noticed.
        """
        if pusher.waker is not None and any(entry.get("pushkey") == pusher.waker for entry in listed):
            return pusher
        original = waker_original(str(pusher.original["device_display_name"]), is_brief=not self._listing.is_absent)
        hidden = hidden_pushkey()
        waker = Twin(hidden, pusher.user_id, WAKER_APP_ID, hidden, None, original, device_id=pusher.device_id)
        answer = await self._twins.put(waker, authorization, append=True, direct=pusher)
        if not answer.is_good:
            log.warning("The homeserver takes no http pusher for the relay: what its filter hides comes late")
            return replace(pusher, waker=None)
        return replace(pusher, waker=hidden)
