"""GET /pushers and POST /pushers/set. Direct pushers stay here; an http pusher's twin stands at the homeserver.

Who has no direct pusher passes untouched, but for MSC3881's `enabled` at homeservers that lack it. An unchanged pusher
is not sent upstream: Synapse would throw away what is pending.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from aiohttp import web

from heliograph.core.text.clean import count_things
from heliograph.relay.model.pushers import DirectPusher, Json, Twin
from heliograph.relay.ports import Cancellations
from heliograph.relay.proxy.callers import Caller, Callers, Unknown, authorization_of, fingerprint
from heliograph.relay.proxy.proxy import CORS, Proxy, json_response, refusal, target_of
from heliograph.relay.proxy.upstream import Answer, TooLarge, Upstream, read_bounded
from heliograph.relay.proxy.versions import Versions
from heliograph.relay.pushers.direct_devices import DirectDevices
from heliograph.relay.pushers.twins import Authorization, UpstreamTwins, entries_in, hidden_pushkey
from heliograph.relay.state.connections import DeviceConnections
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire import pusher as pusher_body
from heliograph.relay.wire.pusher import BadPusher, key_of
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
MAX_DIRECT = 50
"""Direct pushers of one user."""
BODY_S = 20.0


class Pushers:
    """`show` and `set` answer the requests; `reconcile` follows what became of pushers at the homeserver."""

    def __init__(
        self,
        upstream: Upstream,
        proxy: Proxy,
        callers: Callers,
        registry: Registry,
        twins: UpstreamTwins,
        direct: DirectDevices,
        connections: DeviceConnections,
        versions: Versions,
        outbox: Cancellations,
    ) -> None:
        self._upstream = upstream
        self._proxy = proxy
        self._callers = callers
        self._registry = registry
        self._twins = twins
        self._direct = direct
        self._connections = connections
        self._versions = versions
        self._outbox = outbox
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # GET /pushers

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The originals, not the twins."""
        caller = await self._identify(request) if not self._registry.is_empty else None
        authorization = authorization_of(request)
        if not isinstance(caller, Caller) or authorization is None or not self._registry.knows(caller.user_id):
            return await self._proxy.handle(request)
        async with self._lock(caller.user_id):
            answer = await self._upstream.ask("GET", target_of(request), authorization)
            listed = entries_in(answer)
            if listed is None:
                return _pass_on(answer)
            await self._reconcile(caller.user_id, listed)
            listed = await self._twins.without_orphans(caller.user_id, listed, authorization)
            if self._registry.direct_of(caller.user_id):
                listed = await self._twins.adopt_all(caller.user_id, listed, authorization)
            return json_response({"pushers": self._shown(caller.user_id, listed)})

    async def reconcile(self, user_id: str, authorization: Authorization) -> None:
        """Forgets the pushers that the homeserver forgot. Raises NotAnswered, StorageError."""
        async with self._lock(user_id):
            listed = await self._twins.listed(authorization)
            if listed is not None:
                await self._reconcile(user_id, listed)

    async def drop_devices(self, user_id: str, gone: Callable[[str | None], bool]) -> None:
        """These devices are no more, and the homeserver has deleted their pushers. Raises StorageError."""
        async with self._lock(user_id):
            direct = [each for each in self._registry.direct_of(user_id) if gone(each.device_id)]
            wakers = {each.waker for each in direct}
            twins = [
                each
                for each in self._registry.twins_of(user_id)
                if (gone(each.device_id) if each.url is not None else each.hidden_pushkey in wakers)
            ]
            await self._drop(twins, direct)

    def _shown(self, user_id: str, listed: list[Json]) -> list[Json]:
        shown: list[Json] = []
        for entry in listed:
            twin = self._twins.in_list(user_id, entry)
            if twin is None:
                shown.append(entry)
            elif twin.url is not None:
                shown.append(pusher_body.shown_twin(entry, twin))
        return shown + [pusher_body.shown_direct(each) for each in self._registry.direct_of(user_id)]

    async def _reconcile(self, user_id: str, listed: list[Json]) -> None:
        alive = {twin.hidden_pushkey for entry in listed if (twin := self._twins.in_list(user_id, entry)) is not None}
        gone = [twin for twin in self._registry.twins_of(user_id) if twin.hidden_pushkey not in alive]
        names = {twin.hidden_pushkey for twin in gone}
        direct = [each for each in self._registry.direct_of(user_id) if each.waker in names]
        if gone or direct:
            log.info("%s of %s gone at the homeserver", count_things(len(gone), "pusher"), user_id)
            await self._drop(gone, direct)

    async def _drop(self, twins: list[Twin], direct: list[DirectPusher]) -> None:
        if not twins and not direct:
            return
        await self._registry.drop(twins, direct)
        for twin in twins:
            await self._outbox.forget(twin.hidden_pushkey)
        for pusher in direct:
            if not any(each.device_id == pusher.device_id for each in self._registry.direct_of(pusher.user_id)):
                await self._direct.end(pusher.user_id, pusher.device_id)

    # POST /pushers/set

    async def set(self, request: web.Request) -> web.StreamResponse:
        """Whole even if the client goes away in the middle."""
        try:
            async with asyncio.timeout(BODY_S):
                text = await read_bounded(request.content, MAX_BODY)
        except TooLarge:
            return refusal(413, "M_TOO_LARGE", "No pusher is that large")
        except TimeoutError:
            return refusal(408, "M_UNKNOWN", "The body did not come in time")
        try:
            body = msgspec.json.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            body = None
        caller = await self._identify(request, afresh=True)
        authorization = authorization_of(request)
        if not isinstance(body, dict) or key_of(body) is None or authorization is None or caller is None:
            return await self._proxy.forward(request, text)
        if isinstance(caller, Unknown):
            if caller.is_limited:
                return refusal(429, "M_LIMIT_EXCEEDED", "Too many wrong access tokens", retry_after_ms=20_000)
            return await self._proxy.forward(request, text)
        if not await self._is_ours(caller.user_id, body, authorization):
            return await self._proxy.forward(request, text)
        setting = start(self._set(request, caller, body, text, authorization), name="setting a pusher")
        return await asyncio.shield(setting)

    async def _is_ours(self, user_id: str, body: Json, authorization: Authorization) -> bool:
        if body.get("kind") in pusher_body.DIRECT_KINDS or self._registry.knows(user_id):
            return True
        is_switched_off = body.get("kind") == "http" and pusher_body.enabled_in(body) is False
        return is_switched_off and not await self._versions.has_toggle(authorization)

    async def _set(
        self, request: web.Request, caller: Caller, body: dict[str, Any], text: bytes, authorization: Authorization
    ) -> web.StreamResponse:
        async with self._lock(caller.user_id):
            try:
                kind = body.get("kind")
                if kind in pusher_body.DIRECT_KINDS:
                    return await self._set_direct(caller, body, authorization)
                if kind == "http":
                    answer = await self._set_http(caller, body, authorization)
                elif kind is None:
                    answer = await self._remove(caller, body, authorization)
                else:
                    answer = await self._twins.set(body, authorization)
                    if answer.is_good:
                        await self._forget_name(caller.user_id, body, authorization)
            except BadPusher as wrong:
                return refusal(400, wrong.errcode, str(wrong))
        return _pass_on(answer)

    async def _set_direct(self, caller: Caller, body: Json, authorization: Authorization) -> web.Response:
        if caller.device_id is None:
            raise BadPusher("A direct pusher belongs to a device, and this access token has none")
        user_id = caller.user_id
        wanted = pusher_body.direct_pusher(body, user_id, caller.device_id)
        before = self._registry.direct_for(user_id, wanted.app_id, wanted.pushkey)
        if before is None and len(self._registry.direct_of(user_id)) >= MAX_DIRECT:
            raise BadPusher(f"A user has at most {MAX_DIRECT} direct pushers", "M_RESOURCE_LIMIT_EXCEEDED")
        if before is not None:
            # One device may switch another's pusher, which stays that other's.
            wanted = replace(wanted, device_id=before.device_id, waker=before.waker)
        if body.get("append") is not True:
            await self._take_from_others(user_id, wanted.app_id, wanted.pushkey)
        was_enabled = self._connections.is_enabled(user_id, wanted.device_id)
        listed = await self._twins.listed(authorization) or []
        key = (wanted.app_id, wanted.pushkey)
        if self._registry.twin_for(user_id, *key) or any(key_of(entry) == key for entry in listed):
            await self._remove_upstream(user_id, key, authorization)
            listed = [entry for entry in listed if key_of(entry) != key]
        if not was_enabled and wanted.is_enabled:
            await self._direct.begin(user_id, wanted.device_id, authorization)
        if caller.device_id == wanted.device_id:
            wanted = await self._direct.with_waker(wanted, listed, authorization)
        await self._registry.put_direct(wanted)
        if caller.device_id == wanted.device_id:
            self._connections.turn(fingerprint(authorization))
        await self._twins.adopt_all(user_id, listed, authorization)
        if before is None:
            log.info("%s has a direct pusher on device %s", user_id, wanted.device_id)
        return json_response({})

    async def _set_http(self, caller: Caller, body: Json, authorization: Authorization) -> Answer:
        key = key_of(body)
        assert key is not None
        url = pusher_body.gateway_url_in(body)
        if url is None or (why := self._twins.refuses(url)) is not None:
            # The homeserver says whether it takes it, and sends to it itself.
            if url is not None:
                log.info("An http pusher of %s stays with the homeserver: %s", caller.user_id, why)
            answer = await self._twins.set(body, authorization)
            if answer.is_good:
                await self._forget_name(caller.user_id, body, authorization)
            return answer
        original = pusher_body.original_of(body)
        is_enabled = pusher_body.enabled_in(body) is not False
        append = body.get("append") is True
        before = self._registry.twin_for(caller.user_id, *key)
        listed = await self._twins.listed(authorization) or []
        if before is not None and not any(self._twins.in_list(caller.user_id, entry) == before for entry in listed):
            await self._drop([before], [])
            before = None
        if before is not None:
            return await self._change(before, original, url, is_enabled, authorization, append=append)
        direct = self._registry.direct_for(caller.user_id, *key)
        if direct is not None:
            await self._remove_direct(direct, authorization)
        entry = next((entry for entry in listed if key_of(entry) == key), None)
        if entry is not None:
            device_id = pusher_body.device_in(entry)
            twin = Twin(hidden_pushkey(), caller.user_id, *key, url, original, is_enabled, device_id, is_adopted=True)
            return await self._twins.put(twin, authorization, append=append)
        twin = Twin(hidden_pushkey(), caller.user_id, *key, url, original, is_enabled, caller.device_id)
        if not append:
            await self._take_from_others(caller.user_id, *key)
            await self._twins.claim(twin, authorization)
        return await self._twins.put(twin, authorization, append=append)

    async def _change(
        self,
        before: Twin,
        original: dict[str, Any],
        url: str,
        is_enabled: bool,
        authorization: Authorization,
        *,
        append: bool,
    ) -> Answer:
        after = replace(before, url=url, original=original, is_enabled=is_enabled)
        if not self._twins.are_alike(before, after):
            return await self._twins.put(after, authorization, append=append or not before.is_adopted)
        if after != before:
            await self._registry.put_twin(after)
        return Answer(200, b"{}")

    async def _take_from_others(self, user_id: str, app_id: str, pushkey: str) -> None:
        # Their twins upstream end with the next push, which is rejected.
        await self._drop(*self._registry.others_with(user_id, app_id, pushkey))

    async def _remove(self, caller: Caller, body: Json, authorization: Authorization) -> Answer:
        key = key_of(body)
        assert key is not None
        direct = self._registry.direct_for(caller.user_id, *key)
        if direct is not None:
            await self._remove_direct(direct, authorization)
        if direct is None or self._registry.twin_for(caller.user_id, *key) is not None:
            return await self._remove_upstream(caller.user_id, key, authorization)
        return Answer(200, b"{}")

    async def _remove_direct(self, pusher: DirectPusher, authorization: Authorization) -> None:
        waker = self._registry.twin(pusher.waker) if pusher.waker is not None else None
        await self._drop([] if waker is None else [waker], [pusher])
        if waker is not None:
            await self._twins.remove(waker.app_id, waker.hidden_pushkey, authorization)
        log.info("%s has no direct pusher on device %s any more", pusher.user_id, pusher.device_id)

    async def _remove_upstream(self, user_id: str, key: tuple[str, str], authorization: Authorization) -> Answer:
        twin = self._registry.twin_for(user_id, *key)
        pushkey = key[1] if twin is None else twin.upstream_pushkey
        answer = await self._twins.remove(key[0], pushkey, authorization)
        if answer.is_good and twin is not None:
            await self._drop([twin], [])
        return answer

    async def _forget_name(self, user_id: str, body: Json, authorization: Authorization) -> None:
        """A pusher that is the homeserver's alone took the name of one of ours."""
        key = key_of(body)
        assert key is not None
        direct, twin = self._registry.direct_for(user_id, *key), self._registry.twin_for(user_id, *key)
        if direct is not None:
            await self._remove_direct(direct, authorization)
        if twin is not None:
            if not twin.is_adopted:
                await self._twins.remove(key[0], twin.upstream_pushkey, authorization)
            await self._drop([twin], [])

    # Both

    async def _identify(self, request: web.Request, *, afresh: bool = False) -> Caller | Unknown | None:
        address = self._proxy.proxies.client_of(request)
        return await self._callers.identify(request, address, afresh=afresh)

    def _lock(self, user_id: str) -> asyncio.Lock:
        lock = self._locks.get(user_id)
        if lock is None:
            lock = self._locks[user_id] = asyncio.Lock()
        return lock


def _pass_on(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, content_type="application/json", headers=CORS)
