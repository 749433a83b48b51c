"""The end of the process without an error for clients: requests that wait for news are answered, with none.

What is answered is the client's own place in the stream, so that nothing is lost: it asks again from there, and finds
the next process. Test: test_a_restart_answers_waiting_polls_with_their_own_since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from heliograph.relay.proxy.proxy import json_response
from heliograph.relay.proxy.sliding import KINDS
from heliograph.system.tasks import start


class Goodbye:
    """`say` ends all requests that wait; from then on each connection ends with its next answer."""

    def __init__(self) -> None:
        self.is_said = False
        self._waiting: dict[int, asyncio.Task[web.StreamResponse]] = {}
        """By the id of the request, as long as no answer has begun."""
        self._ended: set[asyncio.Task[web.StreamResponse]] = set()

    def say(self) -> None:
        self.is_said = True
        for task in self._waiting.values():
            self._ended.add(task)
            task.cancel()

    async def note_answer(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """A signal of aiohttp: the response is about to be sent."""
        # What has begun goes on to its end.
        self._waiting.pop(id(request), None)
        if self.is_said:
            response.force_close()
            response.headers["Connection"] = "close"

    async def answer(
        self, request: web.Request, answering: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        """The answer, or one without news if the process ends before there is one. For requests that wait."""
        empty = empty_answer(request)
        if empty is None:
            return await answering
        if self.is_said:
            answering.close()
            return json_response(empty)
        task = start(answering, name="waiting request")
        self._waiting[id(request)] = task
        try:
            return await task
        except asyncio.CancelledError:
            # Else it is the client that went away.
            if task not in self._ended or not task.cancelled():
                raise
            return json_response(empty)
        finally:
            self._waiting.pop(id(request), None)
            self._ended.discard(task)


def empty_answer(request: web.Request) -> dict[str, Any] | None:
    """The answer without news to a request that waits for some; None: this one does not wait, or has no place in the
    stream yet. Source: GET /sync of the Client-Server API, MSC3575 and MSC4186."""
    query = request.query
    match request.method, [unquote(part) for part in request.rel_url.raw_path.split("/")[1:]]:
        case "GET", ["_matrix", "client", _, "sync"] if query.get("since") and query.get("timeout", "0") != "0":
            return {"next_batch": query["since"]}
        case "POST", ["_matrix", "client", "unstable", kind, "sync"] if kind in KINDS and query.get("pos"):
            return {"pos": query["pos"], "lists": {}, "rooms": {}, "extensions": {}}
    return None
