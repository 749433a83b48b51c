"""POST /_matrix/push/v1/notify: a push is on disk before it is answered, and answered before it is sent on.

Synapse holds back every later push of a pusher while one is not answered with success, so only pushes that cannot be
read or kept are refused. Test: test_a_push_that_cannot_be_kept_is_left_to_the_homeserver.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from heliograph.core.events import Json
from heliograph.errors import StorageError
from heliograph.relay.clock import Clock
from heliograph.relay.model.hold import due_ms
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import Accepted, Push, Why
from heliograph.relay.ports import DirectDevices, PusherLookup
from heliograph.relay.proxy.bodies import BUSY, SLOW, TOO_LARGE, Bodies, Unread
from heliograph.relay.proxy.limits import Allowance
from heliograph.relay.pushers.recovery import PusherRecovery
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.queue.targets import NOTIFY_PATH
from heliograph.relay.wire.push import Arrived, MalformedPush, pack, read_push
from heliograph.relay.wire.pusher import MAX_PUSHKEY

log = logging.getLogger(__name__)

LARGEST_BODY = 256 * 1024
"""Events have at most 64 KiB, which JSON can write at four times the length."""
_UNREAD = {SLOW: "slow", TOO_LARGE: "too_large", BUSY: "busy"}
STRAYS_PER_SECOND, STRAYS_AT_ONCE = 0.2, 20
"""How often the same unknown pushkey is looked for; then its sender is told how long to wait. Neither other pushkeys
nor other senders at its address are concerned: a homeserver sends the pushes of many from one.
Test: test_an_unknown_pushkey_is_looked_for_so_often_only_and_others_as_before."""

MOST_STRANGERS = 100
"""Unknown pushkeys that are remembered, for `heliograph relay check`."""

UNKNOWN_PUSHKEY = "IO.GITHUB.HELIOGRAPH.UNKNOWN_PUSHKEY"
"""The error code of a push for a pusher that is not known here. It is tried again, since relay.db may have lost the
pusher: a homeserver deletes what is rejected. Test: test_a_pushkey_that_nobody_knows_is_never_rejected."""


@dataclass(slots=True)
class _Taken:
    rejected: list[str] = field(default_factory=list)
    """Pushkeys as they came."""
    unknown: list[str] = field(default_factory=list)
    """Pushkeys that are not known here."""


RESULTS = ("taken", "unknown", "limited", "malformed", "too_large", "slow", "busy", "failed")


class Gateway:
    """Takes pushes. `is_trusted` says whether a request comes from where the homeserver is."""

    def __init__(
        self,
        pushers: PusherLookup,
        devices: DirectDevices,
        outbox: Outbox,
        clock: Clock,
        recovery: PusherRecovery,
        bodies: Bodies,
        *,
        is_trusted: Callable[[web.Request], bool] = lambda request: False,
        strays: Allowance | None = None,
    ) -> None:
        self._pushers = pushers
        self._devices = devices
        self._outbox = outbox
        self._clock = clock
        self._recovery = recovery
        self._bodies = bodies
        self._is_trusted = is_trusted
        self._strays = strays or Allowance(STRAYS_PER_SECOND, STRAYS_AT_ONCE)
        self._requests: Counter[str] = Counter()
        self._strangers: deque[str] = deque(maxlen=MOST_STRANGERS)

    def has_met(self, pushkey: str) -> bool:
        """Whether a push for this unknown pushkey came lately."""
        return pushkey in self._strangers

    @property
    def requests(self) -> dict[str, int]:
        """Requests by what became of them, by RESULTS."""
        return {result: self._requests[result] for result in RESULTS}

    def routes(self) -> list[web.RouteDef]:
        """The routes of the push gateway."""
        return [web.post(NOTIFY_PATH, self.notify), web.get(NOTIFY_PATH, self.tell)]

    async def tell(self, request: web.Request) -> web.Response:
        """GET: says that this is a gateway, as UnifiedPush discovers them."""
        return web.json_response({"unifiedpush": {"gateway": "matrix"}})

    async def notify(self, request: web.Request) -> web.Response:
        """Push Gateway API, POST /_matrix/push/v1/notify."""
        # Before the body is read, which may take seconds: the hold counts from here.
        received_ms = self._clock.now_ms()
        try:
            async with self._bodies.read(request, LARGEST_BODY) as body:
                return await self._notify(request, body, received_ms)
        except Unread as unread:
            self._requests[_UNREAD[unread.status]] += 1
            return unread.refusal()

    async def _notify(self, request: web.Request, body: bytes, received_ms: int) -> web.Response:
        try:
            arrived = read_push(body)
        except MalformedPush as error:
            return self._answer("malformed", 400, "M_BAD_JSON", f"This is no push: {error}", close=True)
        try:
            taken = await self._take(arrived, received_ms, is_trusted=self._is_trusted(request))
        except StorageError as error:
            log.error("A push cannot be kept, and the homeserver is to send it again: %s", error)
            return self._answer("failed", 503, "M_UNKNOWN", "The push cannot be kept at the moment")
        if taken.unknown:
            return self._stray(taken.unknown)
        self._requests["taken"] += 1
        return web.json_response({"rejected": taken.rejected})

    async def _take(self, arrived: Arrived, received_ms: int, *, is_trusted: bool) -> _Taken:
        """Takes the push for each device that is known. The whole push comes again if another one is not."""
        taken = _Taken()
        for device in arrived.devices:
            twin = self._pushers.twin_of(device)
            if twin is None and self._pushers.is_withdrawn(device):
                taken.rejected.append(device["pushkey"])
                continue
            if twin is None:
                twin = await self._recovery.take_from_push(device, received_ms, is_trusted=is_trusted)
            if twin is None:
                taken.unknown.append(device["pushkey"])
                # Cut, since a stranger chooses its length.
                self._strangers.append(device["pushkey"][:MAX_PUSHKEY])
            elif self._outbox.is_rejected(twin.hidden_pushkey) or not await self._take_one(
                arrived, device, twin, received_ms
            ):
                taken.rejected.append(device["pushkey"])
        return taken

    async def _take_one(self, arrived: Arrived, device: Json, twin: Twin, received_ms: int) -> bool:
        """Whether the pusher is still wanted: False tells the homeserver to delete it."""
        accepted = Accepted.SETTLED
        if twin.url is not None and twin.is_enabled:
            accepted = await self._outbox.take(self._push(arrived, device, twin, received_ms))
        # A push that goes no further, a waker's or a disabled twin's, still tells that everything is read.
        elif arrived.event_id is None and arrived.unread == 0:
            await self._outbox.cancel_all(twin.user_id, Why.UNREAD_ZERO)
        if arrived.event_id is not None:
            # Once the push is on disk: the acknowledgement that this may bring finds it there.
            told = {**arrived.notification, "devices": [device]}
            self._devices.announce(twin.user_id, arrived.room_id, arrived.event_id, told)
        return accepted is not Accepted.REJECTED

    def _push(self, arrived: Arrived, device: Json, twin: Twin, received_ms: int) -> Push:
        # A clearing push makes nothing ring, so it waits for nobody.
        hold_until_ms = None
        if arrived.event_id is not None:
            hold_until_ms = self._devices.hold_until(twin.user_id, twin.app_id, twin.pushkey, received_ms)
        return Push(
            hidden_pushkey=twin.hidden_pushkey,
            user_id=twin.user_id,
            event_id=arrived.event_id,
            room_id=arrived.room_id,
            thread_id=arrived.thread_id,
            unread=arrived.unread,
            received_ms=received_ms,
            due_ms=due_ms(received_ms, hold_until_ms),
            payload=pack(arrived.notification, device),
        )

    def _stray(self, unknown: list[str]) -> web.Response:
        """The answer to a push with these pushkeys that nobody knows here."""
        now_ms = self._clock.now_ms()
        wait_s = max(self._strays.take(pushkey, now_ms) for pushkey in unknown)
        if wait_s:
            headers = {"Retry-After": str(int(wait_s) + 1)}
            return self._answer("limited", 429, "M_LIMIT_EXCEEDED", "This pushkey is unknown", headers, close=True)
        return self._answer("unknown", 503, UNKNOWN_PUSHKEY, "This pushkey is not known here", close=True)

    def _answer(
        self,
        what: str,
        status: int,
        errcode: str,
        error: str,
        headers: dict[str, str] | None = None,
        *,
        close: bool = False,
    ) -> web.Response:
        self._requests[what] += 1
        response = web.json_response({"errcode": errcode, "error": error}, status=status, headers=headers)
        if close:
            # What is left of the body is not worth reading.
            response.force_close()
        return response
