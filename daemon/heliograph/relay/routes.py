"""The requests that the relay looks into, by method and path. All others pass."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from urllib.parse import unquote

from aiohttp import web

from heliograph.errors import StorageError
from heliograph.relay.observers import RequestObservers
from heliograph.relay.proxy.encounters import Encounters
from heliograph.relay.proxy.goodbye import Goodbye
from heliograph.relay.proxy.proxy import Proxy, not_answered, refusal
from heliograph.relay.proxy.sliding import KINDS, SlidingDevices
from heliograph.relay.proxy.upstream import NotAnswered
from heliograph.relay.proxy.versions import Versions
from heliograph.relay.pushers.handler import PusherHandler
from heliograph.relay.pushers.upkeep import PusherUpkeep
from heliograph.relay.sync.handler import DirectSync

log = logging.getLogger(__name__)

_VERSIONS = frozenset({"r0", "v3", "v1", "unstable"})
"""Besides `api/v1`, which Synapse still serves."""


class Router:
    """Paths are looked at as the homeserver would, with their escapes resolved."""

    def __init__(
        self,
        proxy: Proxy,
        versions: Versions,
        sync: DirectSync,
        pushers: PusherHandler,
        observers: RequestObservers,
        upkeep: PusherUpkeep,
        goodbye: Goodbye,
        encounters: Encounters,
        sliding: SlidingDevices,
    ) -> None:
        self._proxy = proxy
        self._versions = versions
        self._sync = sync
        self._pushers = pushers
        self._observers = observers
        self._upkeep = upkeep
        self._goodbye = goodbye
        self._encounters = encounters
        self._sliding = sliding

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer to any request for the homeserver."""
        return await self._goodbye.answer(request, self._answer(request))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not self._proxy.can_pass(request):
            return web.Response(status=400)
        self._encounters.note(request)
        self._upkeep.see(request)
        answer = self._choose(request) if _is_looked_into(request) else None
        try:
            return await (self._proxy.handle(request) if answer is None else answer)
        except NotAnswered as error:
            return not_answered(error)
        except StorageError as error:
            log.error("A request could not be kept: %s", error)
            return refusal(503, "M_UNKNOWN", "The relay cannot write to its disk at the moment")

    def _choose(self, request: web.Request) -> Awaitable[web.StreamResponse] | None:
        match request.method, [unquote(part) for part in request.rel_url.raw_path.split("/")[1:]]:
            case "GET", ["_matrix", "client", "versions"]:
                return self._versions.handle(request)
            case "POST", ["_matrix", "client", "unstable", kind, "sync"] if kind in KINDS:
                self._sliding.note(request)
            case method, ["_matrix", "client", "api", "v1", *path]:
                return self._of_account(request, method, path) or self._of_room(request, method, path)
            case method, ["_matrix", "client", version, *path] if version in _VERSIONS:
                return self._of_account(request, method, path) or self._of_room(request, method, path)
        return None

    def _of_account(self, request: web.Request, method: str, path: list[str]) -> Awaitable[web.StreamResponse] | None:
        match method, path:
            case "GET", ["sync"]:
                self._sliding.forget(request)
                return self._sync.handle(request)
            case "GET", ["pushers"]:
                return self._pushers.show(request)
            case "POST", ["pushers", "set"]:
                return self._pushers.set(request)
            case "POST", ["logout"]:
                return self._observers.log_out(request)
            case "POST", ["logout", "all"] | ["account", "deactivate"]:
                return self._observers.log_out_everywhere(request)
            case "POST", ["account", "password"]:
                return self._observers.change_password(request)
            case "POST", ["delete_devices"]:
                return self._observers.delete_devices(request)
            case "DELETE", ["devices", device_id]:
                return self._observers.delete_devices(request, device_id)
        return None

    def _of_room(self, request: web.Request, method: str, path: list[str]) -> Awaitable[web.StreamResponse] | None:
        observers = self._observers
        match method, path:
            case "POST", ["rooms", room_id, "receipt", kind, event_id]:
                return observers.receipt(request, room_id, kind, event_id)
            case "POST", ["rooms", room_id, "read_markers"]:
                return observers.read_markers(request, room_id)
            case "PUT", ["rooms", room_id, "redact", event_id, _]:
                return observers.redact(request, room_id, event_id)
            case "POST", ["rooms", room_id, "redact", event_id]:
                return observers.redact(request, room_id, event_id)
            case ("PUT", ["rooms", room_id, "send", type_, _]) | ("POST", ["rooms", room_id, "send", type_]):
                if type_ == "m.room.redaction":
                    return observers.send_redaction(request, room_id)
                return observers.send(request, room_id, type_)
            case "POST", ["rooms", room_id, "leave"]:
                return observers.leave(request, room_id)
            case "POST" | "PUT", ["rooms", room_id, "leave" | "kick" | "ban", *_]:
                return observers.change_membership(request, room_id)
            case "PUT", ["rooms", room_id, "state", "m.room.member", user_id]:
                return observers.change_membership(request, room_id, user_id)
        return None


def _is_looked_into(request: web.Request) -> bool:
    """False for a body that is compressed, and for a target with a scheme and a host (RFC 9112, 3.2.2), of which
    Synapse knows none."""
    is_compressed = "Content-Encoding" in request.headers and request.method != "GET"
    return not is_compressed and request.raw_path.startswith("/")
