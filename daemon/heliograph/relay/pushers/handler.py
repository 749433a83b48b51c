"""GET /pushers and POST /pushers/set. Direct pushers stay here; an http pusher's twin stands at the homeserver.

A request of a user without a direct pusher passes untouched, but for MSC3881's `enabled` at homeservers that lack it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from heliograph.core.events import Json
from heliograph.relay.proxy.bodies import Bodies, Unread
from heliograph.relay.proxy.callers import Caller, Callers, Unknown, authorization_of
from heliograph.relay.proxy.proxy import CORS, Proxy, answer_headers, json_response, refusal, target_of
from heliograph.relay.proxy.upstream import FAILURES, MAX_ANSWER, Answer, NotAnswered, read_bounded
from heliograph.relay.proxy.versions import Versions
from heliograph.relay.pushers.pushers import UserPushers
from heliograph.relay.pushers.twins import Authorization
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire.pusher import DIRECT_KINDS, BadPusher, enabled_in, key_of
from heliograph.system.tasks import start

MAX_BODY = 64 * 1024
_UNCHANGED = ("accept-encoding", "if-none-match", "if-modified-since", "range")
"""Headers left out, so that the whole list comes as text that can be looked into."""


class PusherHandler:
    """`show` and `set` answer the requests, and raise NotAnswered and StorageError."""

    def __init__(
        self,
        proxy: Proxy,
        callers: Callers,
        versions: Versions,
        registry: Registry,
        pushers: UserPushers,
        bodies: Bodies,
    ) -> None:
        self._bodies = bodies
        self._proxy = proxy
        self._callers = callers
        self._versions = versions
        self._registry = registry
        self._pushers = pushers

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /pushers: the originals, not the twins."""
        authorization = authorization_of(request)
        # While nobody has a pusher here, not even the caller needs to be known.
        caller = await self._callers.identify(request) if not self._registry.is_empty else None
        if authorization is None or request.body_exists or isinstance(caller, Unknown):
            return await self._proxy.handle(request)
        if caller is None or not self._registry.knows(caller.user_id):
            answer = await self._untouched(request)
            if answer is not None:
                return answer
            caller = await self._callers.identify(request)
            if isinstance(caller, Unknown):
                return await self._proxy.handle(request)
        shown = await self._pushers.show(caller, target_of(request), authorization)
        return _pass_on(shown) if isinstance(shown, Answer) else json_response({"pushers": shown})

    async def _untouched(self, request: web.Request) -> web.Response | None:
        """The homeserver's answer to GET /pushers of a user who has no pusher here.

        None: it has some that are the relay's to serve. relay.db was lost, or clients were led past the relay.
        """
        try:
            answer = await self._proxy.open(request, target_of(request), _UNCHANGED)
            try:
                with self._proxy.memory.share() as share:
                    body = await read_bounded(answer.content, MAX_ANSWER, share)
            finally:
                answer.release()
        except FAILURES as error:
            raise NotAnswered(repr(error)) from error
        if answer.status == 200 and self._pushers.misses(body):
            return None
        return web.Response(status=answer.status, body=body, headers=answer_headers(answer.headers))

    async def set(self, request: web.Request) -> web.StreamResponse:
        """POST /pushers/set: done wholly, even if the client goes away in the middle."""
        try:
            async with self._bodies.read(request, MAX_BODY) as text:
                return await self._serve(request, text)
        except Unread as unread:
            return unread.refusal()

    async def _serve(self, request: web.Request, text: bytes) -> web.StreamResponse:
        body, authorization = _object(text), authorization_of(request)
        if body is None or authorization is None:
            return await self._proxy.forward(request, text)
        # Not from memory: a token may have ended, and the pusher would outlive it.
        caller = await self._callers.identify(request, afresh=True)
        if isinstance(caller, Unknown) and caller.answer is not None and caller.answer.status not in (401, 403):
            # Who asks is not known at the moment. Passed on untouched, a direct pusher would stay at the homeserver.
            return _pass_on(caller.answer)
        if isinstance(caller, Unknown) or not await self._is_ours(caller.user_id, body, authorization):
            user_id = caller.user_id if isinstance(caller, Caller) else None
            return await asyncio.shield(start(self._pass(request, text, user_id, body), name="passing a pusher on"))
        return await asyncio.shield(start(self._set(caller, body, authorization), name="setting a pusher"))

    async def _pass(self, request: web.Request, text: bytes, user_id: str | None, body: Json) -> web.StreamResponse:
        """The homeserver's answer; it may have taken a pusher of the relay's from another user."""

        async def after(_: bytes) -> None:
            await self._pushers.take_from_others(user_id, body)

        return await self._proxy.forward(request, text, after)

    async def _is_ours(self, user_id: str, body: Json, authorization: Authorization) -> bool:
        """Whether the relay must know of the pusher that the body sets."""
        if body.get("kind") in DIRECT_KINDS or self._registry.knows(user_id):
            return True
        is_switched_off = body.get("kind") == "http" and enabled_in(body) is False
        return is_switched_off and not await self._versions.has_toggle(authorization)

    async def _set(self, caller: Caller, body: Json, authorization: Authorization) -> web.Response:
        try:
            return _pass_on(await self._pushers.set(caller, body, authorization))
        except BadPusher as wrong:
            return refusal(400, wrong.errcode, str(wrong))


def _object(text: bytes) -> dict[str, Any] | None:
    """The body of a request for a pusher; None: it names none."""
    try:
        body = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and key_of(body) is not None else None


def _pass_on(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, content_type="application/json", headers=CORS)
