"""A push gateway on loopback, in a thread of its own, that answers as the test says. ntfy's topics are part of it."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Any

from aiohttp import web

from heliograph.core.pushers.fallback import NOTIFY_PATH

RELAY_TOKEN = "the-token-of-the-relay"


class ScriptedGateway:
    """A `with` block; everything public may be changed by a test."""

    def __init__(self) -> None:
        self.url = ""
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
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> ScriptedGateway:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def event_ids(self) -> list[str]:
        """What was pushed so far; pushes that only count are left out."""
        return [push["event_id"] for push in self.pushes if push.get("event_id")]

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
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
