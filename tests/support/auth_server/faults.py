"""What goes wrong with the next requests, as networks, proxies and busy servers do it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

Fault = Literal["lose", "late", "drop", "slow", "408", "429", "500", "502", "503", "html400", "html200"]
"""lose: done, but the answer is lost. late: done, but answered late. drop: not done, and the connection closed. slow:
done late. 408, 429, 500, 502, 503: not done, 408 and 502 in HTML. html400, html200: not done, a page in its place."""
FAULTS: tuple[Fault, ...] = (
    *("lose", "late", "drop", "slow"),
    *("408", "429", "500", "502", "503", "html400", "html200"),
)
HTML = "<html><body><h1>The proxy says no</h1></body></html>"
JSON = {"429": "rate_limited", "500": "server_error", "503": "temporarily_unavailable"}
HTML_STATUS = {"408": 408, "502": 502, "html400": 400, "html200": 200}


@dataclass
class _Planned:
    at: str
    fault: Fault
    times: int
    seconds: float


class Faults:
    """The faults that are still to come, in order."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    def plan(self, at: str, fault: Fault, times: int, seconds: float) -> None:
        self._planned.append(_Planned(at, fault, times, seconds))

    def clear(self) -> None:
        self._planned.clear()

    async def answer(
        self, request: web.BaseRequest, handle: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The answer, spoilt if a fault is planned for the last part of the request's path."""
        at = request.path.rpartition("/")[2]
        planned = next((each for each in self._planned if each.at == at and each.times > 0), None)
        if planned is None:
            return await handle()
        planned.times -= 1
        fault = planned.fault
        if fault == "slow":
            await asyncio.sleep(planned.seconds)
        if fault == "drop":
            await request.read()
            return _closed(request)
        if fault in JSON:
            headers = {"Retry-After": "1"} if fault == "429" else {}
            return web.json_response({"error": JSON[fault]}, status=int(fault), headers=headers)
        if fault in HTML_STATUS:
            return web.Response(status=HTML_STATUS[fault], text=HTML, content_type="text/html")
        answer = await handle()
        if fault == "late":
            await asyncio.sleep(planned.seconds)
        return _closed(request) if fault == "lose" else answer


def _closed(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
