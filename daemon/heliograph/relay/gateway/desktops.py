"""Requests of desktops to a relay that is a gateway only: where pushes go, which were shown, who is there.

    POST   /_heliograph/v1/pushers      {"app_id", "pushkey", "data": {"url", ...}} -> {"pushkey", "url"}
    DELETE /_heliograph/v1/pushers/{pushkey}
    POST   /_heliograph/v1/acknowledge  {"device_id", "event_ids": [...], "present_ms"}

Each with the access token of a user of the configuration. The pushkey that comes back is the one to register at the
homeserver. A desktop that says it is present is waited for during `present_ms`; 0: it has left.

The relay only waits for desktops that say they are there, for as long as they say: if one vanishes nothing is lost, and
pushes are late by the hold. Test: test_with_nobody_there_the_phone_rings_at_once_as_if_it_stood_at_the_homeserver.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from heliograph.core.events import Json
from heliograph.errors import StorageError
from heliograph.relay.gateway.tokens import UserTokens
from heliograph.relay.model.pushers import ACTIVE_MS, DELAY_MS, DirectPusher, Twin
from heliograph.relay.proxy.bodies import Bodies, Unread
from heliograph.relay.proxy.proxy import json_response, refusal
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.state.state import RelayState
from heliograph.relay.wire.pusher import (
    MAX_APP_ID,
    MAX_ORIGINAL,
    MAX_PUSHKEY,
    gateway_url_in,
    is_too_large,
    original_of,
)

log = logging.getLogger(__name__)

PATH = "/_heliograph/v1"
MAX_BODY = 256 * 1024
MAX_EVENTS = 1_000
MAX_ID = 255
MAX_PRESENT_MS = 600_000
MAX_TWINS = 50
"""Pushers of one user, and desktops."""
_APP_ID = "io.github.heliograph.desktop"


class BadRequest(Exception):
    """What is wrong with the request, as a sentence."""


class Desktops:
    """Answers desktops' requests. `refuses` says why the relay may not send to a gateway, None if it may."""

    def __init__(
        self,
        tokens: UserTokens,
        state: RelayState,
        removal: PusherRemoval,
        outbox: Outbox,
        bodies: Bodies,
        *,
        gateway_url: str,
        refuses: Callable[[str], str | None],
    ) -> None:
        self._tokens = tokens
        self._registry = state.registry
        self._state = state
        self._removal = removal
        self._outbox = outbox
        self._bodies = bodies
        self._gateway_url = gateway_url
        self._refuses = refuses
        # One change at a time: a desktop that asks twice at once would get two pushkeys, and the phone two pushes.
        self._changing = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{PATH}/pushers", self.add),
            web.delete(f"{PATH}/pushers/{{pushkey}}", self.remove),
            web.post(f"{PATH}/acknowledge", self.acknowledge),
        ]

    async def add(self, request: web.Request) -> web.Response:
        """POST /pushers. Asked again, the answer has the same pushkey, unless its gateway has rejected the pusher."""
        return await self._answer(request, self._add)

    async def remove(self, request: web.Request) -> web.Response:
        """DELETE /pushers/{pushkey}. Pushes that wait for the pusher are dropped."""
        return await self._answer(request, self._remove)

    async def acknowledge(self, request: web.Request) -> web.Response:
        """POST /acknowledge. Pushes of these events are dropped, those that come later, too."""
        return await self._answer(request, self._acknowledge)

    async def _answer(self, request: web.Request, act: Callable[..., Any]) -> web.Response:
        user_id = self._tokens.identify(request)
        if isinstance(user_id, web.Response):
            return user_id
        try:
            async with self._bodies.read(request, MAX_BODY) as text:
                return json_response(await act(user_id, _read(text), request))
        except BadRequest as wrong:
            return refusal(400, "M_BAD_JSON", str(wrong))
        except Unread as unread:
            return unread.refusal()
        except StorageError as error:
            log.error("What a desktop told cannot be kept: %s", error)
            return refusal(503, "M_UNKNOWN", "The relay cannot write to its disk at the moment")

    async def _add(self, user_id: str, body: Json, request: web.Request) -> Json:
        app_id, pushkey = _text(body, "app_id", MAX_APP_ID), _text(body, "pushkey", MAX_PUSHKEY)
        url = gateway_url_in(body)
        if url is None:
            raise BadRequest("data.url is missing")
        if (why := self._refuses(url)) is not None:
            raise BadRequest(why)
        original = original_of(body)
        if is_too_large(original):
            raise BadRequest(f"A pusher has at most {MAX_ORIGINAL} bytes")
        async with self._changing:
            before = self._registry.twin_for(user_id, app_id, pushkey)
            # A pushkey that was rejected stays so at the homeserver: the pusher gets another one.
            if before is not None and before.original == original and not self._is_rejected(before):
                return {"pushkey": before.hidden_pushkey, "url": self._gateway_url}
            if before is None and len(self._registry.twins_of(user_id)) >= MAX_TWINS:
                raise BadRequest(f"A user has at most {MAX_TWINS} pushers here")
            if before is not None:
                # With all that waits for it: the homeserver gets another pushkey, and pushes to the old one no more.
                await self._removal.drop([before])
            twin = Twin(secrets.token_urlsafe(16), user_id, app_id, pushkey, url, original)
            await self._registry.put_twin(twin)
        log.info("A pusher of %s goes through here", user_id, extra={"user": user_id})
        return {"pushkey": twin.hidden_pushkey, "url": self._gateway_url}

    async def _remove(self, user_id: str, body: Json, request: web.Request) -> Json:
        async with self._changing:
            twin = self._registry.twin(request.match_info["pushkey"])
            if twin is not None and twin.user_id == user_id:
                await self._removal.drop([twin])
        return {}

    async def _acknowledge(self, user_id: str, body: Json, request: web.Request) -> Json:
        device_id = _text(body, "device_id", MAX_ID)
        event_ids = body.get("event_ids", [])
        present_ms = body.get("present_ms", 0)
        if not isinstance(event_ids, list) or len(event_ids) > MAX_EVENTS or not all(map(_is_id, event_ids)):
            raise BadRequest(f"event_ids is a list of at most {MAX_EVENTS} event ids")
        if not isinstance(present_ms, int) or isinstance(present_ms, bool) or not 0 <= present_ms <= MAX_PRESENT_MS:
            raise BadRequest(f"present_ms is a number from 0 to {MAX_PRESENT_MS}")
        await self._know(user_id, device_id)
        await self._outbox.acknowledge(user_id, device_id, event_ids)
        self._state.connections.counts["acknowledged"] += len(event_ids)
        await self._state.be_present((user_id, device_id), present_ms)
        return {}

    async def _know(self, user_id: str, device_id: str) -> None:
        """Gives the desktop a direct pusher, since pushes wait for devices that have one."""
        async with self._changing:
            known = self._registry.direct_of(user_id)
            if any(each.device_id == device_id for each in known):
                return
            # Nobody tells of a desktop that is gone. If there are too many all are forgotten, and those that are left
            # come back with their next acknowledgement.
            if len(known) >= MAX_TWINS:
                await self._removal.drop(direct=known)
            pusher = DirectPusher(
                user_id=user_id,
                device_id=device_id,
                app_id=_APP_ID,
                pushkey=device_id,
                kind="direct",
                is_enabled=True,
                delay_ms=DELAY_MS,
                active_ms=ACTIVE_MS,
                fallback=None,
                original={},
            )
            await self._registry.put_direct(pusher)

    def _is_rejected(self, twin: Twin) -> bool:
        return self._outbox.is_rejected(twin.hidden_pushkey)


def _read(text: bytes) -> Json:
    """The request's body. Raises BadRequest."""
    try:
        body = msgspec.json.decode(text or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadRequest("The body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("The body is an object")
    return body


def _text(body: Json, name: str, longest: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise BadRequest(f"{name} is a text of 1 to {longest} characters")
    return value


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable()
