"""A homeserver that answers /sync as a test says, for what Synapse does not do. One user, one device."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

Json = dict[str, Any]
USER, DEVICE, TOKEN = "@me:example.org", "DESKTOP", "the-access-token"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
ROOM = "!room:example.org"


class ScriptedHomeserver:
    """An async context manager. What is public may be changed by a test."""

    def __init__(self) -> None:
        self.port = 0
        self.pushers: list[Json] = []
        self.listed: list[Json] | None = []
        """None: there is no GET /notifications."""
        self.has_toggle = False
        self.position = 1
        self.stream: list[tuple[int, Json]] = []
        self.requests: list[web.BaseRequest] = []
        self.aborted = 0
        self.has_to_device = True
        self.extra: bytes = b""
        """Goes into every /sync answer, before its end."""
        self._news = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> ScriptedHomeserver:
        server = web.Server(self._answer, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def send(self, event_id: str, *, moves: bool = True, is_hidden: bool = False, **more: Any) -> Json:
        """A message that rings. `moves` False: the stream stays where it is, as other homeservers may do."""
        event = {
            "event_id": event_id,
            "type": "m.room.message",
            "sender": "@alice:example.org",
            "origin_server_ts": 1_000 + self.position,
            "content": {"msgtype": "m.text", "body": "hello"},
            **more,
        }
        self.position += moves
        if self.listed is not None:
            entry = {"room_id": ROOM, "event": event, "actions": ["notify"], "ts": 1_000 + self.position, "read": False}
            self.listed.insert(0, entry)
        if not is_hidden:
            self.stream.append((self.position, event))
            self._news.set()
            self._news.clear()
        return event

    async def push(self, client: aiohttp.ClientSession, event: Json, **more: Any) -> None:
        """To every http pusher, as the homeserver does."""
        for pusher in self.pushers:
            data = {name: value for name, value in pusher["data"].items() if name != "url"}
            device = {
                "app_id": pusher["app_id"],
                "pushkey": pusher["pushkey"],
                "data": data,
                "tweaks": {"sound": "ping"},
            }
            full = {"type": event["type"], "sender": event["sender"], "content": event["content"]}
            body = {"event_id": event["event_id"], "room_id": ROOM, "devices": [device], **full, **more}
            async with client.post(pusher["data"]["url"], json={"notification": body}) as response:
                assert response.status == 200, await response.text()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        path = request.path.removeprefix("/_matrix/client/").removeprefix("v3/")
        if path == "versions":
            flags = {"org.matrix.msc3881": True} if self.has_toggle else {}
            return web.json_response({"versions": ["v1.11"], "unstable_features": flags})
        if request.headers.get("Authorization") != AUTHORIZATION["Authorization"]:
            return web.json_response({"errcode": "M_UNKNOWN_TOKEN", "error": "unknown"}, status=401)
        match path:
            case "account/whoami":
                return web.json_response({"user_id": USER, "device_id": DEVICE})
            case "pushers":
                return web.json_response({"pushers": self.pushers})
            case "pushers/set":
                return self._set(await request.json())
            case "notifications" if self.listed is not None:
                return web.json_response({"notifications": self.listed})
            case _ if path.startswith("sendToDevice/") and self.has_to_device:
                return self._send_to_device(await request.json())
            case "sync":
                return await self._sync(request)
        return web.json_response({"errcode": "M_UNRECOGNIZED", "error": "unrecognized"}, status=404)

    def _send_to_device(self, body: Json) -> web.Response:
        assert {user: list(devices) for user, devices in body["messages"].items()} == {USER: [DEVICE]}
        self.position += 1
        return web.json_response({})

    def _set(self, body: Json) -> web.Response:
        key = (body["app_id"], body["pushkey"])
        self.pushers = [each for each in self.pushers if (each["app_id"], each["pushkey"]) != key]
        if body["kind"] is not None:
            self.pushers.append(body)
        return web.json_response({})

    async def _sync(self, request: web.BaseRequest) -> web.Response:
        since = int(request.query.get("since", "s0")[1:])
        try:
            async with asyncio.timeout(int(request.query.get("timeout", "0")) / 1000):
                while not any(position > since for position, _ in self.stream):
                    await self._news.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        events = [event for position, event in self.stream if position > since]
        body: Json = {"next_batch": f"s{self.position}"}
        if events:
            body["rooms"] = {"join": {ROOM: {"timeline": {"events": events}}}}
        text = web.json_response(body).body
        assert isinstance(text, bytes)
        return web.Response(body=text[:-1] + self.extra + text[-1:], content_type="application/json")
