"""A homeserver that believes everything: worse for the relay than any real one, which would refuse most of it."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from typing import Any
from urllib.parse import unquote

from aiohttp import web

Json = dict[str, Any]
ROOM = "!room:example.org"
LARGE = 60_000


class CredulousHomeserver:
    """An async context manager. Each token is a user of that name, who is in every room; every event is redacted, and
    each /sync tells of receipts and redactions without measure."""

    def __init__(self) -> None:
        self.port = 0
        self._serial = itertools.count(1)
        self._pushers: dict[str, dict[tuple[str, str], Json]] = defaultdict(dict)
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> CredulousHomeserver:
        # It takes longer lines than the relay does.
        server = web.Server(self._answer, access_log=None, max_line_size=2 * LARGE)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        path = [unquote(part) for part in request.rel_url.raw_path.split("/")[4:]]
        return web.json_response(self._told(request.method, path, token, body))

    def _told(self, method: str, path: list[str], token: str, body: bytes) -> Json:
        match method, path:
            case "GET", ["account", "whoami"]:
                return {"user_id": f"@{token}:example.org", "device_id": token.upper()}
            case "GET", ["pushers"]:
                return {"pushers": list(self._pushers[token].values())}
            case "POST", ["pushers", "set"]:
                self._set_pusher(token, json.loads(body))
            case "GET", ["notifications"]:
                return {"notifications": []}
            case "GET", ["sync"]:
                return self._sync(token)
            case "GET", ["rooms", _, "state", *_]:
                return {"membership": "leave" if next(self._serial) % 7 == 0 else "join"}
            case "GET", ["rooms", _, "event", event_id]:
                return {"event_id": event_id, "unsigned": {"redacted_because": {}}}
            case _, ["rooms", _, "send", *_]:
                return {"event_id": f"${next(self._serial):0>254}"}
        return {}

    def _set_pusher(self, token: str, body: Json) -> None:
        key = (str(body.get("app_id")), str(body.get("pushkey")))
        if body.get("kind") is None:
            self._pushers[token].pop(key, None)
        else:
            self._pushers[token][key] = body

    def _sync(self, token: str) -> Json:
        number = next(self._serial)
        user = {f"@{token}:example.org": {"ts": 1, "thread_id": "x" * LARGE}}
        plain = {f"@{token}:example.org": {"ts": 1}}
        receipts: Json = {f"${number}-{each:0>240}": {"m.read": plain} for each in range(100)}
        receipts |= {"$" + "r" * LARGE: {"m.read": user}, "nonsense": {"m.read.private": plain}}
        redactions = [
            {"type": "m.room.redaction", "event_id": f"$x{number}-{each}", "redacts": target}
            for each, target in enumerate((f"${number:0>254}", "$" + "x" * LARGE, 7, None))
        ]
        room = {
            "timeline": {"events": redactions},
            "ephemeral": {"events": [{"type": "m.receipt", "content": receipts}]},
        }
        return {"next_batch": f"s{number}", "rooms": {"join": {ROOM: room, "!" + "r" * LARGE: room}}}
