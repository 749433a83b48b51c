"""All pushers of a user, one change at a time: shown, set, and reconciled with what the homeserver has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from weakref import WeakValueDictionary

from heliograph.core.events import Json
from heliograph.relay.departure import Departure
from heliograph.relay.proxy.callers import Caller
from heliograph.relay.proxy.upstream import Answer
from heliograph.relay.pushers.direct import DirectPushers
from heliograph.relay.pushers.http import HttpPushers
from heliograph.relay.pushers.reconciliation import PusherReconciliation
from heliograph.relay.pushers.recovery import PusherRecovery
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.pushers.renewal import TwinRenewal
from heliograph.relay.pushers.twins import Authorization, UpstreamTwins, entries_in
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire.pusher import DIRECT_KINDS, key_of, replaces_others, shown_direct, shown_twin

log = logging.getLogger(__name__)


class UserPushers:
    """All pushers of each user, behind one lock a user. Each method raises NotAnswered and StorageError."""

    def __init__(
        self,
        registry: Registry,
        twins: UpstreamTwins,
        direct: DirectPushers,
        http: HttpPushers,
        reconciliation: PusherReconciliation,
        renewal: TwinRenewal,
        removal: PusherRemoval,
        now_ms: Callable[[], int],
        recovery: PusherRecovery,
        departure: Departure,
    ) -> None:
        self._registry = registry
        self._twins = twins
        self._direct = direct
        self._http = http
        self._reconciliation = reconciliation
        self._renewal = renewal
        self._removal = removal
        self._now_ms = now_ms
        self._compared_ms: dict[str, int] = {}
        self._recovery = recovery
        self._departure = departure
        # Weak: a lock lives as long as somebody holds or awaits it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def show(self, caller: Caller, target: str, authorization: Authorization) -> list[Json] | Answer:
        """The originals, not the twins. An Answer: the homeserver's to GET `target`, which lists none."""
        async with self._lock(caller.user_id):
            answer = await self._twins.ask_list(authorization, target)
            listed = entries_in(answer)
            if listed is None:
                return answer
            return self._shown(caller.user_id, await self._agree(caller, listed, authorization))

    def misses(self, answer: bytes) -> bool:
        """Whether the body of the homeserver's answer to GET /pushers has pushers that are the relay's to show: direct
        ones, and twins."""
        listed = entries_in(Answer(200, answer)) or []
        return any(self._twins.is_ours(entry) or entry.get("kind") in DIRECT_KINDS for entry in listed)

    async def set(self, caller: Caller, body: Json, authorization: Authorization) -> Answer:
        """POST /pushers/set. Raises BadPusher, too."""
        async with self._lock(caller.user_id):
            answer = await self._set(caller, body, authorization)
        if answer.is_good:
            await self.take_from_others(caller.user_id, body)
        return answer

    async def _set(self, caller: Caller, body: Json, authorization: Authorization) -> Answer:
        key = key_of(body)
        assert key is not None
        # Without a kind the homeserver refuses the request; null removes the pusher.
        kind = body.get("kind", "")
        if self._departure.is_leaving:
            await self._compare(caller, authorization)
            return await self._twins.set(body, authorization)
        if kind in DIRECT_KINDS:
            await self._direct.set(caller, body, authorization)
            return Answer(200, b"{}")
        # A pusher of this name may stand at the homeserver beside its twin, set while the relay was passed by.
        await self._compare(caller, authorization)
        if kind == "http":
            return await self._http.set(caller, key, body, authorization)
        if kind is None:
            return await self._http.remove(caller.user_id, key, authorization)
        return await self._http.set_upstream(caller.user_id, key, body, authorization)

    async def take_from_others(self, user_id: str | None, body: Json) -> None:
        """`user_id` has set the pusher of this body at the homeserver, which with `append: false` ends the pushers of
        all other users by the same app id and pushkey: most likely the phone has changed hands.

        None: nobody whom the relay knows. The others' twins at the homeserver end with their next push, which is
        rejected. Test: test_a_phone_that_changed_hands_rings_for_its_former_user_no_more.
        """
        key = key_of(body)
        if key is None or not replaces_others(body):
            return
        for other in await self._registry.users_with(*key) - {user_id}:
            # One lock at a time: two users who take from one another would wait for ever.
            async with self._lock(other):
                twin, direct = self._registry.twin_for(other, *key), self._registry.direct_for(other, *key)
                await self._removal.drop([twin] if twin else (), [direct] if direct else ())
                log.info("A pusher of %s was taken over by another user", other)

    async def compare(self, caller: Caller, authorization: Authorization) -> bool:
        """Looks which pushers the homeserver has, makes both sides agree, and makes up for an outage of the relay's.

        False: the homeserver does not list them now.
        """
        async with self._lock(caller.user_id):
            is_done = await self._compare(caller, authorization)
            if is_done:
                await self._renewal.renew(caller.user_id, authorization)
            return is_done

    def compared_ms(self, user_id: str) -> int | None:
        """When (ms since 1970) the user's pushers were last compared with the homeserver's; None: not since the
        start, or something is left to be done for that."""
        return None if self._renewal.is_due(user_id) else self._compared_ms.get(user_id)

    async def reconcile(self, user_id: str, authorization: Authorization) -> None:
        """Forgets the pushers that the homeserver forgot."""
        async with self._lock(user_id):
            listed = await self._twins.listed(authorization)
            if listed is not None:
                await self._reconciliation.forget_gone(user_id, listed)

    async def drop_devices(self, user_id: str, is_gone: Callable[[str | None], bool]) -> None:
        """Forgets the pushers of devices that are no more; the homeserver has deleted its own."""
        async with self._lock(user_id):
            direct = [each for each in self._registry.direct_of(user_id) if is_gone(each.device_id)]
            wakers = {each.waker for each in direct}
            # A waker goes with the direct pusher that it serves, whichever device registered it.
            twins = [
                each
                for each in self._registry.twins_of(user_id)
                if (is_gone(each.device_id) if each.url is not None else each.hidden_pushkey in wakers)
            ]
            await self._removal.drop(twins, direct)

    async def _compare(self, caller: Caller, authorization: Authorization) -> bool:
        listed = await self._twins.listed(authorization)
        if listed is None:
            return False
        await self._agree(caller, listed, authorization)
        return True

    async def _agree(self, caller: Caller, listed: list[Json], authorization: Authorization) -> list[Json]:
        for direct in await self._recovery.take_from_list(caller.user_id, listed):
            await self._direct.take_up(direct, authorization)
        listed = await self._reconciliation.agree(caller, listed, authorization)
        self._compared_ms[caller.user_id] = self._now_ms()
        return listed

    def _shown(self, user_id: str, listed: list[Json]) -> list[Json]:
        shown: list[Json] = []
        for entry in listed:
            twin = self._twins.in_list(user_id, entry)
            if twin is None:
                shown.append(entry)
            elif twin.url is not None:
                shown.append(shown_twin(entry, twin))
        return shown + [shown_direct(each) for each in self._registry.direct_of(user_id)]

    def _lock(self, user_id: str) -> asyncio.Lock:
        lock = self._locks.get(user_id)
        if lock is None:
            lock = self._locks[user_id] = asyncio.Lock()
        return lock
