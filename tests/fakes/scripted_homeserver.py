"""A homeserver that answers /sync as a test says, for what Synapse does not do. One user, one device.

What Synapse refuses is refused (tests/contract/test_relay_upstream.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

from fakes.stream_token import read_place
from fakes.synapse_checks import refused
from fakes.synapse_requests import (
    EVENT,
    NOTIFICATIONS,
    PUSHERS,
    SET_PUSHER,
    SYNC,
    TO_DEVICE,
    VERSIONS,
    WHOAMI,
    PlayedRequest,
    Route,
    refusal_of,
)
from heliograph.errors import Refused

Json = dict[str, Any]
USER, DEVICE, TOKEN = "@me:example.org", "DESKTOP", "the-access-token"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
ROOM = "!room:example.org"
_ROUTES = (EVENT, NOTIFICATIONS, PUSHERS, SET_PUSHER, SYNC, TO_DEVICE, VERSIONS, WHOAMI)


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
        self.events: dict[str, Json] = {}
        """All of ROOM, also those that no sync tells of."""
        self.requests: list[web.BaseRequest] = []
        self.aborted = 0
        self.has_to_device = True
        self.extra: bytes = b""
        """Goes into every /sync answer, before its end."""
        self._news = asyncio.Event()
        self._transactions: set[str] = set()
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
        self.events[event_id] = event
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
        if not request.path.startswith("/_matrix/"):
            return web.Response(status=404, text="<html>No Such Resource</html>", content_type="text/html")
        try:
            return await self._serve(await PlayedRequest.read(request))
        except Refused as refusal:
            return refusal_of(refusal)

    async def _serve(self, request: PlayedRequest) -> web.Response:
        route, identifiers = request.route(self._routes())
        request.check_token(TOKEN, is_needed=route is not VERSIONS)
        match route.name, identifiers:
            case VERSIONS.name, _:
                flags = {"org.matrix.msc3881": True} if self.has_toggle else {}
                return web.json_response({"versions": ["v1.11"], "unstable_features": flags})
            case WHOAMI.name, _:
                return web.json_response({"user_id": USER, "device_id": DEVICE})
            case PUSHERS.name, _:
                return web.json_response({"pushers": self.pushers})
            case SET_PUSHER.name, _:
                return self._set(request.check_pusher())
            case NOTIFICATIONS.name, _:
                return self._list(*request.check_notifications())
            case EVENT.name, [room_id, event_id] if room_id == ROOM and event_id in self.events:
                return web.json_response(self.events[event_id])
            case EVENT.name, _:
                raise refused(404, "M_NOT_FOUND", "Event not found.")
            case TO_DEVICE.name, [_, transaction]:
                return self._send_to_device(request, transaction)
        return await self._sync(*request.check_sync())

    def _routes(self) -> list[Route]:
        left_out = [
            route
            for route, is_there in ((NOTIFICATIONS, self.listed is not None), (TO_DEVICE, self.has_to_device))
            if not is_there
        ]
        return [route for route in _ROUTES if route not in left_out]

    def _list(self, start: int | None, limit: int) -> web.Response:
        listed = self.listed or []
        page = listed[start or 0 :][:limit]
        told: Json = {"notifications": page}
        if page:
            told["next_token"] = str((start or 0) + len(page))
        return web.json_response(told)

    def _send_to_device(self, request: PlayedRequest, transaction: str) -> web.Response:
        """Whose they are nobody asks: the stream moves for this device's own alone."""
        if transaction not in self._transactions:
            messages = request.check_to_device()["messages"]
            self._transactions.add(transaction)
            self.position += bool({DEVICE, "*"}.intersection(messages.get(USER, {})))
        return web.json_response({})

    def _set(self, body: Json) -> web.Response:
        key = (body["app_id"], body["pushkey"])
        self.pushers = [each for each in self.pushers if (each["app_id"], each["pushkey"]) != key]
        if body["kind"] is not None:
            self.pushers.append(body)
        return web.json_response({})

    async def _sync(self, token: str | None, timeout_ms: int) -> web.Response:
        since = 0 if token is None else read_place(token)
        if since is None:
            raise refused(400, "M_UNKNOWN", "Invalid stream token")
        try:
            async with asyncio.timeout(timeout_ms / 1000):
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
