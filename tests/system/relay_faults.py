"""A push gateway that can be at fault, and a cable that can be cut."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from support.ports import reserve_port

Json = dict[str, Any]


class FaultyGateway:
    """A push gateway. `faults` are the answers to the next pushes: a status, or seconds that one takes."""

    def __init__(self) -> None:
        self.port = reserve_port(self)
        self.faults: list[int | float] = []
        self.limit = 1 << 20
        """Bytes; a larger push gets 413."""
        self.events: list[str] = []
        """Ids of the events that were pushed."""
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/_matrix/push/v1/notify"

    async def __aenter__(self) -> FaultyGateway:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._take, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        """Nobody listens at its port any more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        fault = self.faults.pop(0) if self.faults else 0.0
        if isinstance(fault, int):
            return web.json_response({}, status=fault, headers={"Retry-After": "1"} if fault == 429 else None)
        await asyncio.sleep(fault)
        if len(body) > self.limit:
            return web.json_response({}, status=413)
        notification = json.loads(body)["notification"]
        if notification.get("event_id"):
            self.events.append(notification["event_id"])
        return web.json_response({"rejected": []})


class Cable:
    """Between daemon and relay: sees what both have heard, and can be cut so that neither is told."""

    def __init__(self, far: str, lag_s: float = 0.0, rng: random.Random | None = None) -> None:
        self.port = reserve_port(self)
        self.brought: list[str] = []
        """Ids of the events that `notifications` told of, in responses that arrived whole."""
        self.apart: list[str] = []
        """Those of them that came without the event itself."""
        self.acknowledged: set[str] = set()
        """Events whose next_batch went back as `since`."""
        self._carried: dict[str, set[str]] = {}
        self._far = far
        self._lag_s = lag_s
        self._rng = rng or random.Random(1)
        self._whole = asyncio.Event()
        self._held: set[asyncio.Task[Any]] = set()
        self._polls = 0
        self.lost = 0
        """Answers to /sync that came while it was cut."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_polling(self) -> bool:
        """Whether a /sync is pending at the far end."""
        return self._polls > 0 and self._whole.is_set()

    async def __aenter__(self) -> Cable:
        self._whole.set()
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        server = web.Server(self._pass, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.mend()
        await self._runner.cleanup()
        await self._session.close()

    def cut(self) -> None:
        """From now on nothing passes, and no connection ends."""
        self._whole.clear()

    def mend(self) -> None:
        """What was under way is lost."""
        held, self._held = self._held, set()
        for task in held:
            task.cancel()
        self._whole.set()

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._held.add(task)
        try:
            return await self._forward(request)
        except aiohttp.ClientError:
            return web.Response(status=502)
        finally:
            self._held.discard(task)

    async def _forward(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        await self._travel()
        since = request.query.get("since")
        if _is_sync(request) and since is not None:
            self.acknowledged |= self._carried.get(since, set())
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
        headers["Accept-Encoding"] = "identity"
        url = URL(f"{self._far}{request.raw_path}", encoded=True)
        is_poll = _is_sync(request)
        self._polls += is_poll
        try:
            async with self._session.request(request.method, url, data=body, headers=headers) as answer:
                data = await answer.read()
                status, kind = answer.status, answer.headers.get("Content-Type", "")
            self.lost += is_poll and not self._whole.is_set()
            await self._travel()
        finally:
            self._polls -= is_poll
        if _is_sync(request) and status == 200:
            self._note(json.loads(data))
        return web.Response(status=status, body=data, headers={"Content-Type": kind})

    async def _travel(self) -> None:
        await asyncio.sleep(self._lag_s * self._rng.random())
        if not self._whole.is_set():
            await asyncio.get_running_loop().create_future()  # until it is mended

    def _note(self, body: Json) -> None:
        listed = [each["event"]["event_id"] for each in body.get("notifications", [])]
        rooms = body.get("rooms", {}).get("join", {}).values()
        events = {event["event_id"] for room in rooms for event in room["timeline"]["events"]}
        self.brought += listed
        self.apart += [event_id for event_id in listed if event_id not in events]
        self._carried.setdefault(body["next_batch"], set()).update(listed)


def _is_sync(request: web.BaseRequest) -> bool:
    return request.method == "GET" and request.path == "/_matrix/client/v3/sync"
