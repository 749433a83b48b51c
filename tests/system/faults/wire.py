"""A cable for HTTP that can be at fault in many ways. It notes what passed whole, and when."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from support.ports import reserve_port
from system.faults.schedule import Fault

_HTML = "<html><head><title>Sorry</title></head><body><h1>Something is wrong</h1></body></html>"
_AT_ONCE = {
    Fault.LIMITED: (429, "application/json", json.dumps({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 400})),
    Fault.BAD_GATEWAY: (502, "text/html", _HTML),
    Fault.PORTAL: (200, "text/html", _HTML),
}
_DROPPED = frozenset({"host", "connection", "accept-encoding", "content-length", "transfer-encoding"})
_PATIENCE_S = 0.4


@dataclass(frozen=True, slots=True)
class Sync:
    """A /sync whose answer passed whole. In seconds of the monotonic clock."""

    since: str | None
    asked_s: float
    brought_s: float


class Wire:
    """Async context manager. `begin` a fault, and `end` it: what is held up by then is lost, or comes late."""

    def __init__(self, far: str, rng: random.Random) -> None:
        self.port = reserve_port(self)
        self.fault: Fault | None = None
        self.syncs: list[Sync] = []
        self.acknowledged: dict[str, float] = {}
        """Events that `notifications` brought, by when a /sync with the token after it was answered."""
        self._carried: dict[str, set[str]] = {}
        self._far = far
        self._rng = rng
        self._under_way: list[web.BaseRequest] = []
        self._is_over = asyncio.Event()
        self._turns: list[asyncio.Event] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Wire:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=180)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout)
        server = web.Server(self._pass, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        await self._runner.cleanup()
        await self._session.close()

    def begin(self, fault: Fault) -> None:
        """From now on, until `end`. What is under way suffers, too."""
        self._release()
        self.fault = fault
        self._is_over.clear()
        if fault is Fault.CUT:
            self._abort_all()

    def end(self) -> None:
        """What it held up is gone: whoever sends again on such a connection is told so."""
        was_half_open = self.fault is Fault.HALF_OPEN
        self.fault = None
        self._release()
        if was_half_open:
            self._abort_all()

    def _release(self) -> None:
        self._is_over.set()
        for turn in self._turns:
            turn.set()

    def _abort_all(self) -> None:
        for request in tuple(self._under_way):
            _abort(request)

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        self._under_way.append(request)
        try:
            with contextlib.suppress(ConnectionError):
                return await self._answer(request)
            return web.Response(status=502)
        finally:
            self._under_way.remove(request)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked_s = time.monotonic()
        body = await request.read()
        match self.fault:
            case Fault.CUT:
                return _gone(request)
            case Fault.HALF_OPEN:
                await self._is_over.wait()
                return _gone(request)
            case Fault.LIMITED | Fault.BAD_GATEWAY | Fault.PORTAL as fault:
                status, kind, text = _AT_ONCE[fault]
                return web.Response(status=status, content_type=kind, text=text)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        headers["Accept-Encoding"] = "identity"
        url = URL(f"{self._far}{request.raw_path}", encoded=True)
        try:
            async with self._session.request(
                request.method, url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                data = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return web.Response(status=502, content_type="text/html", text=_HTML)
        match self.fault:
            case Fault.CUT | Fault.LOST_ANSWER:
                return _gone(request)
            case Fault.HALF_OPEN:
                await self._is_over.wait()
                return _gone(request)
            case Fault.SLOW:
                await asyncio.sleep(self._rng.uniform(0.1, 1.0))
            case Fault.SHUFFLED:
                await self._wait_for_another()
        response = web.StreamResponse(status=answer.status)
        for name in ("Content-Type", "Retry-After"):
            if name in answer.headers:
                response.headers[name] = answer.headers[name]
        response.content_length = len(data)
        await response.prepare(request)
        if self.fault is Fault.TRUNCATED and data:
            await response.write(data[: self._rng.randrange(len(data))])
            _abort(request)
            return response
        await response.write(data)
        await response.write_eof()
        if _is_sync(request) and answer.status == 200:
            self._note(request.query.get("since"), asked_s, data)
        return response

    async def _wait_for_another(self) -> None:
        """The answer goes after one that came later, if there is one soon."""
        for turn in self._turns:
            turn.set()
        turn = asyncio.Event()
        self._turns.append(turn)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await turn.wait()
                await asyncio.sleep(0.02)
        self._turns.remove(turn)

    def _note(self, since: str | None, asked_s: float, data: bytes) -> None:
        now = time.monotonic()
        self.syncs.append(Sync(since, asked_s, now))
        for event in self._carried.get(since or "", ()):
            self.acknowledged.setdefault(event, now)
        body: dict[str, Any] = json.loads(data)
        listed = {str(each["event"]["event_id"]) for each in body.get("notifications", [])}
        self._carried.setdefault(body["next_batch"], set()).update(listed)


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _gone(request: web.BaseRequest) -> web.StreamResponse:
    """Nobody hears what is returned."""
    _abort(request)
    return web.Response(status=502)


def _is_sync(request: web.BaseRequest) -> bool:
    return request.method == "GET" and request.path == "/_matrix/client/v3/sync"
