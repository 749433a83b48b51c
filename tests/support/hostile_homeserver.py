"""A homeserver that the test plays: in order until it is told to answer otherwise. It counts what it is asked.

In order it refuses polls and pushers as Synapse does.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from fakes.synapse_requests import PlayedRequest, refusal_of
from heliograph.core.push.predefined import predefined_rules
from heliograph.errors import Refused
from support.builders import ALICE, ME, ROOM

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HostileHomeserver:
    """`answers` are given, in order, to the next /sync requests that have a token; without one, polls wait.

    A str, bytes or dict is the body of a 200; a handler answers as it likes.
    """

    def __init__(self, user_id: str = ME) -> None:
        self.user_id = user_id
        self.answers: deque[str | bytes | dict[str, Any] | Handler] = deque()
        self.sinces: list[str | None] = []
        """The tokens of all /sync requests so far."""
        self.answers_all: Handler | None = None
        """If set, it answers every request."""
        self.answers_to: dict[str, Handler] = {}
        """By the path after /_matrix/client/: who answers requests there."""
        self.requests = 0
        self.waiting = 0
        """Polls that wait for news."""
        self._news = asyncio.Event()
        self._tokens = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def give(self, *answers: str | bytes | dict[str, Any] | Handler) -> None:
        """To the next polls, the one under way first."""
        self.answers.extend(answers)
        self._news.set()

    def sync(self, *events: dict[str, Any], **rest: Any) -> dict[str, Any]:
        """A good /sync body that brings these events in one room."""
        timeline = {"events": list(events), "limited": False, "prev_batch": "p"}
        return {"next_batch": f"t{next(self._tokens)}", "rooms": {"join": {ROOM: {"timeline": timeline}}}, **rest}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self.answers_all is not None:
            return await self.answers_all(request)
        path = request.path.removeprefix("/_matrix/client/")
        if path in self.answers_to:
            return await self.answers_to[path](request)
        try:
            return await self._serve(path, request, await PlayedRequest.read(request))
        except Refused as refusal:
            return refusal_of(refusal)

    async def _serve(self, path: str, request: web.Request, played: PlayedRequest) -> web.StreamResponse:
        match path:
            case "versions":
                return web.json_response({"versions": ["v1.11"]})
            case "v3/sync":
                return await self._sync(request, *played.check_sync())
            case "v3/pushers":
                return web.json_response({"pushers": []})
            case "v3/pushers/set":
                played.check_pusher()
                return web.json_response({})
            case "v3/notifications":
                return web.json_response({"notifications": []})
            case "v3/keys/query":
                return web.json_response({"device_keys": {}, "failures": {}})
        return web.json_response({"errcode": "M_NOT_FOUND", "error": "no such thing"}, status=404)

    async def _sync(self, request: web.Request, since: str | None, timeout_ms: int) -> web.StreamResponse:
        self.sinces.append(since)
        if since is None:
            rules = {"type": "m.push_rules", "content": {"global": predefined_rules(self.user_id)}}
            return web.json_response({"next_batch": "t0", "account_data": {"events": [rules]}})
        await self._wait(timeout_ms / 1000)
        if not self.answers:
            return web.json_response({"next_batch": since})
        answer = self.answers.popleft()
        if callable(answer):
            return await answer(request)
        if isinstance(answer, dict):
            answer = json.dumps(answer)
        body = answer.encode() if isinstance(answer, str) else answer
        return web.Response(body=io.BytesIO(body), content_type="application/json")

    async def _wait(self, seconds: float) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while not self.answers:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1


_serial = itertools.count(1)


def message(body: Any, **event: Any) -> dict[str, Any]:
    """A message by Alice, as /sync brings it."""
    return {
        "event_id": f"$hostile{next(_serial)}",
        "type": "m.room.message",
        "sender": ALICE,
        "origin_server_ts": 1_700_000_000_000,
        "content": {"msgtype": "m.text", "body": body},
        **event,
    }


def error(status: int, body: str = "", **headers: str) -> Handler:
    """Answers with this status."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers, content_type="text/html")

    return answer


def refusal(status: int, errcode: str, **more: Any) -> Handler:
    """Answers with an error as the specification has it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"errcode": errcode, "error": "no", **more}, status=status)

    return answer


def cut_short(body: bytes) -> Handler:
    """Promises twice as much as it sends, then hangs up."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(2 * len(body))})
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.abort()
        return response

    return answer


async def never(request: web.Request) -> web.StreamResponse:
    """Takes the request, and that is all."""
    await asyncio.Event().wait()
    raise AssertionError
