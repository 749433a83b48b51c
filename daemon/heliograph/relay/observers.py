"""Requests that pass through and settle pushes: receipts, read markers, messages, redactions, leaving. And those that
end pushers: logout, password change, deletion of devices, deactivation.

Everything is the homeserver's to decide: only requests that it accepted count, and what they say of others or of what
is kept only once the homeserver shows it (`proxy/confirmation.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from heliograph.core.events import Json
from heliograph.core.reading import MAIN, Mark, is_written
from heliograph.errors import StorageError
from heliograph.relay.model.pushes import Why
from heliograph.relay.ports import Cancellations
from heliograph.relay.proxy.bodies import Bodies, Unread
from heliograph.relay.proxy.callers import Caller, Callers, authorization_of
from heliograph.relay.proxy.confirmation import Confirmation
from heliograph.relay.proxy.proxy import Proxy
from heliograph.relay.proxy.upstream import NotAnswered
from heliograph.relay.pushers.pushers import UserPushers
from heliograph.relay.state.state import RelayState
from heliograph.relay.sync.reading import Reading
from heliograph.relay.sync.rooms_left import RoomsLeft
from heliograph.relay.wire.context import relation_of, root_and_parent
from heliograph.relay.wire.ids import is_kept_event, is_kept_mark, is_kept_room
from heliograph.relay.wire.sync import redacted_by
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
MAX_ANSWER = 4 * 1024
"""Bytes. The answer to a message is its event id."""
# Without m.fully_read, which marks a place for the user's clients and says nothing of notifications.
_READ = frozenset({"m.read", "m.read.private"})
After = Callable[[Caller, Json, Json], Awaitable[None]]
"""Takes who asks, the request's body and the answer's, as far as that is looked into."""


class RequestObservers:
    """Each method answers one kind of request: it passes, and its consequences are on disk before the client hears."""

    def __init__(
        self,
        proxy: Proxy,
        callers: Callers,
        state: RelayState,
        pushers: UserPushers,
        queue: Cancellations,
        reading: Reading,
        confirmation: Confirmation,
        rooms_left: RoomsLeft,
        bodies: Bodies,
    ) -> None:
        self._proxy = proxy
        self._callers = callers
        self._state = state
        self._pushers = pushers
        self._queue = queue
        self._reading = reading
        self._confirmation = confirmation
        self._rooms_left = rooms_left
        self._bodies = bodies

    async def receipt(self, request: web.Request, room_id: str, kind: str, event_id: str) -> web.StreamResponse:
        """POST /rooms/{}/receipt/{}/{}."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            if kind in _READ:
                thread_id = body.get("thread_id")
                mark = Mark(event_id, thread_id if isinstance(thread_id, str) else None)
                await self._read(request, caller, room_id, mark)

        return await self._pass(request, after)

    async def read_markers(self, request: web.Request, room_id: str) -> web.StreamResponse:
        """POST /rooms/{}/read_markers."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            for kind in _READ:
                if isinstance(event_id := body.get(kind), str):
                    await self._read(request, caller, room_id, Mark(event_id))

        return await self._pass(request, after)

    async def send(self, request: web.Request, room_id: str, type_: str) -> web.StreamResponse:
        """PUT /rooms/{}/send/{}/{}, and POST without the last: who writes has read what stands above, in whichever
        client."""

        if not is_written(type_, {}):
            return await self._proxy.handle(request)

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            relation, event_id = relation_of(body), answer.get("event_id")
            if not isinstance(event_id, str) or not is_written(type_, relation) or self._is_direct(caller):
                return
            root, _ = root_and_parent(relation)
            await self._read(request, caller, room_id, Mark(event_id, root or MAIN))

        return await self._pass(request, after, shown=MAX_ANSWER)

    async def redact(self, request: web.Request, room_id: str, event_id: str) -> web.StreamResponse:
        """PUT /rooms/{}/redact/{}/{}, and POST without the last."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            await self._redact(request, room_id, event_id)

        return await self._pass(request, after)

    async def send_redaction(self, request: web.Request, room_id: str) -> web.StreamResponse:
        """PUT /rooms/{}/send/m.room.redaction/{}, and POST without the last."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            target = redacted_by({"content": body})
            if target is not None:
                await self._redact(request, room_id, target)

        return await self._pass(request, after)

    async def leave(self, request: web.Request, room_id: str) -> web.StreamResponse:
        """POST /rooms/{}/leave, which rejects invites, too. The answer confirms it, since nothing else is asked for."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            if self._state.registry.knows(caller.user_id) and is_kept_room(room_id):
                await self._rooms_left.take(caller.user_id, room_id, authorization_of(request))

        return await self._pass(request, after)

    async def change_membership(
        self, request: web.Request, room_id: str, user_id: str | None = None
    ) -> web.StreamResponse:
        """POST and PUT of /rooms/{}/kick and /ban, PUT of /rooms/{}/leave/{} and /rooms/{}/state/m.room.member/{}.

        None: the user whom the body names, or who asks.
        """

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            await self._see_membership(request, room_id, user_id or body.get("user_id") or caller.user_id)

        return await self._pass(request, after)

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """POST /logout."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            self._callers.forget(caller.user_id)
            if caller.device_id is not None:
                await self._pushers.drop_devices(caller.user_id, lambda device_id: device_id == caller.device_id)

        return await self._pass(request, after)

    async def log_out_everywhere(self, request: web.Request) -> web.StreamResponse:
        """POST /logout/all and /account/deactivate."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            self._callers.forget(caller.user_id)
            await self._pushers.drop_devices(caller.user_id, lambda device_id: True)

        return await self._pass(request, after)

    async def delete_devices(self, request: web.Request, device_id: str | None = None) -> web.StreamResponse:
        """DELETE /devices/{} and POST /delete_devices."""

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            listed = [device_id] if device_id is not None else body.get("devices")
            gone = {each for each in listed if isinstance(each, str)} if isinstance(listed, list) else set()
            self._callers.forget(caller.user_id)
            await self._pushers.drop_devices(caller.user_id, lambda each: each in gone)

        return await self._pass(request, after)

    async def change_password(self, request: web.Request) -> web.StreamResponse:
        """POST /account/password: the homeserver knows which pushers are left."""
        authorization = authorization_of(request)

        async def after(caller: Caller, body: Json, answer: Json) -> None:
            self._callers.forget(caller.user_id)
            if authorization is not None:
                await self._pushers.reconcile(caller.user_id, authorization)

        return await self._pass(request, after)

    def _is_direct(self, caller: Caller) -> bool:
        """Returns True for a device that answers from its notifications, which reads no more than these show."""
        return any(each.device_id == caller.device_id for each in self._state.registry.direct_of(caller.user_id))

    async def _read(self, request: web.Request, caller: Caller, room_id: str, mark: Mark) -> None:
        """A receipt or marker, which Synapse takes for whatever event and room the client names."""
        authorization, user_id = authorization_of(request), caller.user_id
        # Nothing is kept of users without a pusher.
        if authorization is None or not self._state.registry.knows(user_id) or not is_kept_mark(room_id, mark):
            return
        if await self._confirmation.is_member(room_id, user_id, authorization):
            await self._reading.take(user_id, room_id, mark, authorization)

    async def _redact(self, request: web.Request, room_id: str, event_id: str) -> None:
        authorization = authorization_of(request)
        if authorization is None or not is_kept_room(room_id) or not is_kept_event(event_id):
            return
        if await self._confirmation.is_redacted(room_id, event_id, authorization):
            await self._queue.cancel_events(None, room_id, [event_id], Why.REDACTED)

    async def _see_membership(self, request: web.Request, room_id: str, user_id: object) -> None:
        authorization = authorization_of(request)
        # Most bans are of users without a pusher.
        if authorization is None or not isinstance(user_id, str) or not self._state.registry.knows(user_id):
            return
        if is_kept_room(room_id) and await self._confirmation.has_left(room_id, user_id, authorization):
            await self._rooms_left.take(user_id, room_id, authorization)

    async def _pass(self, request: web.Request, after: After, *, shown: int = 0) -> web.StreamResponse:
        if self._state.registry.is_empty:
            return await self._proxy.handle(request)
        # Nothing that settles a push is that large.
        if (request.content_length or 0) > MAX_BODY:
            return await self._proxy.handle(request)
        try:
            async with self._bodies.read(request, MAX_BODY) as body:
                return await self._follow(request, body, after, shown)
        except Unread as unread:
            return unread.refusal()

    async def _follow(self, request: web.Request, body: bytes, after: After, shown: int) -> web.StreamResponse:
        try:
            # Before the request passes: a logout ends the token that tells whose it is.
            caller = await self._callers.identify(request)
        except NotAnswered:
            caller = None
        # Done wholly, even if the client goes away: the homeserver's change must not be missed here.
        return await asyncio.shield(start(self._finish(request, caller, body, after, shown), name="passing on"))

    async def _finish(
        self, request: web.Request, caller: object, body: bytes, after: After, shown: int
    ) -> web.StreamResponse:
        async def settle(answer: bytes) -> None:
            if not isinstance(caller, Caller):
                return
            try:
                # The homeserver has done it already: a failure here is logged, and the client gets its answer.
                await after(caller, _object(body), _object(answer))
            except (StorageError, NotAnswered) as error:
                log.warning("What passed could not be followed: %s", error)

        return await self._proxy.forward(request, body, settle, shown=shown)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
