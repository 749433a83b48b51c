"""A push gateway on loopback, in a thread of its own, that answers as the test says. ntfy's topics are part of it."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from heliograph.core.pushers.fallback import NOTIFY_PATH
from support.threaded import ThreadedHttpServer

RELAY_TOKEN = "the-token-of-the-relay"


class ScriptedGateway(ThreadedHttpServer):
    """A `with` block; everything public may be changed by a test."""

    shutdown_s = 0.1

    def __init__(self) -> None:
        super().__init__()
        self.is_gateway = True
        """Whether it says so."""
        self.status = 200
        self.body: Any = {"rejected": []}
        """A str is sent as it is."""
        self.headers: dict[str, str] = {}
        self.limit: int | None = None
        """Bytes of a push; a larger one gets 413."""
        self.topic_status = 200
        self.keeps_pushes = True
        """Whether what is pushed can be found in its topic."""
        self.pushes: list[dict[str, Any]] = []
        self.is_silent = False
        self.relayed: dict[str, dict[str, Any]] = {}
        """As a relay that is a gateway only: what was led through it, by hidden pushkey."""

    @property
    def event_ids(self) -> list[str]:
        """What was pushed so far; pushes that only count are left out."""
        return [push["event_id"] for push in self.pushes if push.get("event_id")]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.is_silent:
            assert request.transport is not None
            request.transport.abort()
        if request.path.startswith("/_heliograph/v1/pushers"):
            return await self._relay(request)
        if request.method == "POST" and request.path == NOTIFY_PATH:
            return await self._take(request)
        if request.path == NOTIFY_PATH and self.is_gateway:
            return web.json_response({"unifiedpush": {"gateway": "matrix"}})
        if request.path.endswith("/json") and request.query.get("poll") == "1":
            lines = (json.dumps({"event": "message", "message": json.dumps(push)}) for push in self.pushes)
            return web.Response(status=self.topic_status, text="\n".join(lines) if self.keeps_pushes else "")
        return web.Response(status=404, text="not found")

    async def _relay(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {RELAY_TOKEN}":
            return web.json_response({"errcode": "M_UNKNOWN_TOKEN", "error": "no such token"}, status=401)
        if request.method == "DELETE":
            self.relayed.pop(request.path.rpartition("/")[2], None)
            return web.json_response({})
        hidden = f"hidden{len(self.relayed)}"
        self.relayed[hidden] = await request.json()
        return web.json_response({"pushkey": hidden, "url": f"{self.url}{NOTIFY_PATH}"})

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if self.limit is not None and len(body) > self.limit:
            return web.json_response({"code": 41301}, status=413)
        if self.status == 200:
            self.pushes.append(json.loads(body)["notification"])
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body, headers=self.headers)
        return web.json_response(self.body, status=self.status, headers=self.headers)
