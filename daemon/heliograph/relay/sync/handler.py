"""GET /sync of direct devices (MSC3361): acknowledge, wake, and have the answer composed.

The relay never syncs by itself: it only repeats the client's request, with the client's own `since`. That is what
keeps to-device messages and the client's place in the stream safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from heliograph.errors import StorageError
from heliograph.relay.model.carried import Key
from heliograph.relay.ports import Cancellations
from heliograph.relay.proxy.callers import Caller, Callers, authorization_of, fingerprint
from heliograph.relay.proxy.proxy import Proxy, answer_headers, not_answered, target_of
from heliograph.relay.proxy.upstream import FAILURES, NotAnswered, Upstream
from heliograph.relay.state.carried import CarriedNotifications
from heliograph.relay.state.connections import DeviceConnections
from heliograph.relay.state.registry import Registry
from heliograph.relay.sync.nudge import Nudge
from heliograph.relay.sync.poll import Poll, deadline_of, with_timeout
from heliograph.relay.sync.response import SyncResponseBuilder
from heliograph.relay.wire.sync import scan
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

GRACE_S = 0.03
"""How long a poll may take to end by itself after a push. Push and poll come within 2 ms of one another."""
MAX_BODY = 4 * 1024 * 1024
"""An answer that is larger passes as it is, and the next one carries its notifications."""
LEAST_WAIT_MS = 100
_UNCHANGED = ("accept-encoding", "if-none-match", "if-modified-since", "range")


class DirectSync:
    """`handle` answers GET /sync of everybody; who has no direct pusher gets it untouched."""

    def __init__(
        self,
        upstream: Upstream,
        proxy: Proxy,
        callers: Callers,
        registry: Registry,
        carried: CarriedNotifications,
        connections: DeviceConnections,
        builder: SyncResponseBuilder,
        outbox: Cancellations,
        clock: Callable[[], int],
    ) -> None:
        self._upstream = upstream
        self._proxy = proxy
        self._callers = callers
        self._registry = registry
        self._carried = carried
        self._connections = connections
        self._builder = builder
        self._nudge = Nudge(upstream)
        self._outbox = outbox
        self._clock = clock

    async def handle(self, request: web.Request) -> web.StreamResponse:
        since = request.query.get("since")
        authorization = authorization_of(request)
        if since is None or authorization is None or request.body_exists:
            return await self._proxy.handle(request)
        deadline = deadline_of(request)
        target = target_of(request)
        try:
            key = await self._key_of(request, since)
            if key is None:
                # The pusher of its device may be set while it waits.
                with self._connections.undecided(fingerprint(authorization)) as turned:
                    answer = await self._open_unless(turned, target, self._proxy.headers(request))
                if answer is not None:
                    return await self._pass_on(request, answer)
                key = await self._key_of(request, since)
        except (*FAILURES, NotAnswered) as error:
            return not_answered(error)
        if key is None:
            return await self._proxy.handle(request)
        connection = self._connections.connection(key)
        with connection.poll(self._clock) as wake:
            return await self._serve(Poll(request, key, since, authorization, connection, wake, deadline))

    async def _key_of(self, request: web.Request, since: str) -> Key | None:
        """Of the direct device that asks, and thereby acknowledges. None: it is no such device. Raises NotAnswered."""
        if not self._registry.has_direct:
            return None
        caller = await self._callers.identify(request, self._proxy.proxies.client_of(request))
        if not isinstance(caller, Caller) or caller.device_id is None:
            return None
        key = (caller.user_id, caller.device_id)
        await self._acknowledge(key, since)
        # A pusher that is switched off may be switched on before this request is answered.
        return key if self._connections.is_direct(*key) else None

    async def _acknowledge(self, key: Key, since: str) -> None:
        event_ids = self._carried.acknowledged_by(key, since)
        if not event_ids:
            return
        try:
            # In this order: if the relay is killed between the two, the device is told once more, and nobody rings.
            await self._outbox.acknowledge(*key, event_ids)
            await self._carried.acknowledge(key, since)
        except StorageError as error:
            log.warning("An acknowledgement could not be kept: %s", error)
            return
        self._connections.connection(key).settle(event_ids)
        self._connections.counts["acknowledged"] += len(event_ids)

    async def _serve(self, poll: Poll) -> web.StreamResponse:
        if poll.connection.is_fresh and self._connections.is_enabled(*poll.key):
            await self._builder.look(poll)
        target = target_of(poll.request)
        tried: frozenset[str] = frozenset()
        repeats = 0
        is_short = False
        while True:
            known = self._known(poll)
            try:
                answer = await self._ask(poll, target, is_urgent=poll.connection.is_urgent(known - tried))
                if answer is None:
                    is_short = True
                    self._connections.counts["woken"] += 1
                    known = self._known(poll)
                    # Not twice the same: homeservers keep the answer to a request for its repetition.
                    again = with_timeout(target, repeats)
                    repeats += 1
                    answer = await self._upstream.open("GET", again, self._headers(poll))
            except FAILURES as error:
                return not_answered(error)
            try:
                body = await _read(answer)
                if answer.status != 200 or len(body) > MAX_BODY:
                    return await self._proxy.stream(poll.request, answer, body)
            except FAILURES as error:
                return not_answered(error)
            finally:
                answer.release()
            scanned = scan(body, poll.key[0])
            if scanned is not None and scanned.next_batch == poll.since:
                # This token acknowledges nothing: who sends it may never have seen this answer.
                is_wanted = poll.connection.is_urgent(known - tried)
                tried |= known
                if is_wanted and await self._nudge.send(poll):
                    is_short, target = True, with_timeout(target, repeats)
                    repeats += 1
                    continue
                if is_short and poll.rest_ms > LEAST_WAIT_MS:
                    is_short, target = False, with_timeout(target, poll.rest_ms)
                    continue
            elif scanned is not None and self._connections.is_enabled(*poll.key):
                body = await self._builder.attach(poll, scanned, known, body)
            return web.Response(body=body, headers=answer_headers(answer.headers))

    async def _ask(self, poll: Poll, target: str, *, is_urgent: bool) -> aiohttp.ClientResponse | None:
        """The answer's beginning; None if a push came and the answer did not follow at once. Raises FAILURES."""
        poll.wake.clear()
        if is_urgent:
            poll.wake.set()
        if poll.rest_ms <= 0:
            return await self._upstream.open("GET", target, self._headers(poll))
        return await self._open_unless(poll.wake, target, self._headers(poll))

    async def _open_unless(
        self, wake: asyncio.Event, target: str, headers: CIMultiDict[str]
    ) -> aiohttp.ClientResponse | None:
        """The answer's beginning; None if the event was set and the answer did not follow at once. Raises FAILURES."""
        asking = start(self._upstream.open("GET", target, headers), name="sync upstream")
        ringing = start(wake.wait(), name="wake")
        try:
            await asyncio.wait((asking, ringing), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                await asyncio.wait((asking,), timeout=GRACE_S)
            return await asking if asking.done() else None
        finally:
            ringing.cancel()
            if not asking.done():
                asking.cancel()
                asking.add_done_callback(_close)

    def _headers(self, poll: Poll) -> CIMultiDict[str]:
        return self._proxy.headers(poll.request, _UNCHANGED)

    async def _pass_on(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        try:
            return await self._proxy.stream(request, answer)
        finally:
            answer.release()

    def _known(self, poll: Poll) -> frozenset[str]:
        """Events that this device shall be told of, and that happened before the homeserver is asked."""
        if not self._connections.is_enabled(*poll.key):
            return frozenset()
        return frozenset((*poll.connection.waiting, *self._carried.open_in(poll.key)))


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The body, or its beginning if that is more than MAX_BODY. Raises FAILURES."""
    body = bytearray()
    while len(body) <= MAX_BODY and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body)


def _close(asking: asyncio.Future[aiohttp.ClientResponse]) -> None:
    if not asking.cancelled() and asking.exception() is None:
        asking.result().close()
