"""Compares a user's pushers with the homeserver's whenever clients may have gone past the relay.

A reverse proxy that leads clients past a relay which is down lets them set pushers of which the relay does not know:
phones that ring beside the desktop, and direct pushers that nobody serves. The relay keeps no access token, so it looks
with that of a request of the user's: the first one after a start, whatever it asks for, then now and then.

The same requests bring back what relay.db has lost, and put the pushers back at the homeserver while the relay leaves.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

from heliograph.errors import StorageError
from heliograph.relay.departure import Departure
from heliograph.relay.proxy.callers import Caller, Callers, authorization_of, fingerprint
from heliograph.relay.proxy.upstream import NotAnswered
from heliograph.relay.pushers.pushers import UserPushers
from heliograph.relay.pushers.recovery import PusherRecovery
from heliograph.relay.pushers.twins import Authorization
from heliograph.relay.state.registry import Registry
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

COMPARED_MS = 60_000
"""How long a comparison counts while the user's direct devices sync. Heliograph itself asks for the list more often."""
PAUSE_MS = 1_000
RETRY_MS = 10_000
"""How soon the homeserver is asked again after it did not list the pushers."""
SEEING_MS = 3_600_000
"""How long after a start requests are looked into for this alone. Who comes later is known by a request for /sync."""
AGAIN_MS = 600_000
"""While the relay leaves, or may have lost pushers, everybody's are looked at, and looked at again after this."""
MOST_TOKENS = 20_000
MOST_AT_ONCE = 20
"""Comparisons and questions whose token a request has. Beyond it the user's next request is taken."""


class PusherUpkeep:
    """`ports.Upkeep`. `see` is told of requests that nobody else looks into."""

    def __init__(
        self,
        callers: Callers,
        registry: Registry,
        pushers: UserPushers,
        departure: Departure,
        recovery: PusherRecovery,
        now_ms: Callable[[], int],
    ) -> None:
        self._callers = callers
        self._registry = registry
        self._pushers = pushers
        self._now_ms = now_ms
        self._departure = departure
        self._recovery = recovery
        self._started_ms = now_ms()
        self._looked_ms: OrderedDict[bytes, int] = OrderedDict()
        self._unseen = registry.user_ids()
        self._tokens: set[bytes] = set()
        self._tried_ms: dict[str, int] = {}
        self._busy: set[str | bytes] = set()

    def see(self, request: web.Request) -> None:
        """Any request of a client; who sends it is asked once, until every user of before the start was seen."""
        if self._departure.is_leaving or self._recovery.is_in_doubt(self._now_ms()):
            self._look(request)
            return
        # The request for /sync that goes on from there is looked into anyway, and `follow` is told.
        if not self._unseen or "since" in request.query or len(self._busy) >= MOST_AT_ONCE:
            return
        if abs(self._now_ms() - self._started_ms) >= SEEING_MS or len(self._tokens) >= MOST_TOKENS:
            self._unseen, self._tokens = set(), set()
            return
        authorization = authorization_of(request)
        if authorization is None or (token := fingerprint(authorization)) in self._tokens:
            return
        self._tokens.add(token)
        self._busy.add(token)
        start_beside(self._see(request, token, authorization), name="who passes")

    def follow(
        self, user_id: str, device_id: str | None, authorization: Authorization, *, is_astray: bool = False
    ) -> None:
        # Whoever passes is looked at by `see`.
        if self._departure.is_leaving:
            return
        if not self._registry.knows(user_id) or user_id in self._busy or len(self._busy) >= MOST_AT_ONCE:
            return
        if self._is_due(user_id, is_astray=is_astray):
            self._busy.add(user_id)
            start_beside(self._compare(Caller(user_id, device_id), authorization), name="comparing pushers")

    def _look(self, request: web.Request) -> None:
        authorization = authorization_of(request)
        if authorization is None or len(self._busy) >= MOST_AT_ONCE:
            return
        token, now_ms = fingerprint(authorization), self._now_ms()
        looked_ms = self._looked_ms.get(token)
        if token in self._busy or (looked_ms is not None and abs(now_ms - looked_ms) < AGAIN_MS):
            return
        self._looked_ms[token] = now_ms
        self._looked_ms.move_to_end(token)
        if len(self._looked_ms) > MOST_TOKENS:
            self._looked_ms.popitem(last=False)
        self._busy.add(token)
        start_beside(self._look_at(request, token, authorization), name="whose pushers")

    async def _look_at(self, request: web.Request, token: bytes, authorization: Authorization) -> None:
        is_done = False
        try:
            caller = await self._callers.identify(request)
            if isinstance(caller, Caller):
                is_done = await self._pushers.compare(caller, authorization)
                # While it leaves, until nothing of the user's is left here.
                is_done &= not (self._departure.is_leaving and self._registry.knows(caller.user_id))
            else:
                is_done = caller.answer is not None and caller.answer.status in (401, 403)
        except (NotAnswered, StorageError) as error:
            log.info("Somebody's pushers cannot be looked at: %s", error)
        finally:
            self._busy.discard(token)
            if not is_done:
                # Soon again, and not at once: a client may ask many times a second.
                self._looked_ms[token] = self._now_ms() - AGAIN_MS + PAUSE_MS

    async def _see(self, request: web.Request, token: bytes, authorization: Authorization) -> None:
        try:
            caller = await self._callers.identify(request)
        except NotAnswered as error:
            log.info("Nobody knows whose request passes: %s", error)
            return
        finally:
            self._busy.discard(token)
        if isinstance(caller, Caller):
            self.follow(caller.user_id, caller.device_id, authorization)

    def _is_due(self, user_id: str, *, is_astray: bool) -> bool:
        now_ms = self._now_ms()
        tried_ms, compared_ms = self._tried_ms.get(user_id), self._pushers.compared_ms(user_id)
        # Absolute, since the clock may have been set back.
        if tried_ms is not None and abs(now_ms - tried_ms) < RETRY_MS and not is_astray:
            return False
        return is_astray or compared_ms is None or abs(now_ms - compared_ms) >= COMPARED_MS

    async def _compare(self, caller: Caller, authorization: Authorization) -> None:
        self._tried_ms[caller.user_id] = self._now_ms()
        try:
            if await self._pushers.compare(caller, authorization):
                self._unseen.discard(caller.user_id)
        except NotAnswered as error:
            log.info("The pushers of %s cannot be compared: %s", caller.user_id, error)
        finally:
            self._busy.discard(caller.user_id)
