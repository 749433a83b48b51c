"""A homeserver that answers /sync as a test says, for what Synapse does not do. One user, one device.

What Synapse refuses is refused (tests/contract/test_relay_upstream.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

from fakes.played_homeserver import PlayedHomeserver
from fakes.stream_token import read_place
from fakes.synapse_checks import refused
from fakes.synapse_requests import EVENT, NOTIFICATIONS, SYNC, TO_DEVICE, PlayedRequest, Route
from heliograph.core.ids import UserId

Json = dict[str, Any]
USER, DEVICE, TOKEN = "@me:example.org", "DESKTOP", "the-access-token"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
ROOM = "!room:example.org"


class ScriptedHomeserver(PlayedHomeserver):
    """What is public may be changed by a test."""

    user_id, device_id, access_token = UserId(USER), DEVICE, TOKEN
    routes = (*PlayedHomeserver.routes, SYNC, NOTIFICATIONS, EVENT, TO_DEVICE)
    is_told_of_hanging_up = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[web.BaseRequest] = []
        self.listed: list[Json] | None = []
        """None: there is no GET /notifications."""
        self.position = 1
        self.stream: list[tuple[int, Json]] = []
        self.events: dict[str, Json] = {}
        """All of ROOM, also those that no sync tells of."""
        self.aborted = 0
        self.has_to_device = True
        self.extra: bytes = b""
        """Goes into every /sync answer, before its end."""
        self._news = asyncio.Event()
        self._transactions: set[str] = set()

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
            self._stream(event)
        return event

    def arrive(self, event: Json) -> None:
        """An event that was hidden, and did not move the stream, comes to the process that answers /sync."""
        self.position += 1
        self._stream(event)

    def _stream(self, event: Json) -> None:
        self.stream.append((self.position, event))
        self._news.set()
        self._news.clear()

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
        return await super()._answer(request)

    def has(self, route: Route) -> bool:
        is_there = {NOTIFICATIONS.name: self.listed is not None, TO_DEVICE.name: self.has_to_device}
        return is_there.get(route.name, True)

    async def serve(self, route: Route, identifiers: list[str], request: PlayedRequest) -> web.Response:
        match route.name, identifiers:
            case NOTIFICATIONS.name, _:
                return self._list(*request.check_notifications())
            case EVENT.name, [room_id, event_id] if room_id == ROOM and event_id in self.events:
                return web.json_response(self.events[event_id])
            case EVENT.name, _:
                raise refused(404, "M_NOT_FOUND", "Event not found.")
            case TO_DEVICE.name, [_, transaction]:
                return self._send_to_device(request, transaction)
        return await self._sync(*request.check_sync())

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
