"""An authorization server whose answers a test writes, and what a homeserver tells of it. Time takes no time for tests
marked `virtual_time`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from edges.login_server import auth_metadata
from heliograph.homeserver.oauth.metadata import AuthServer, find_auth_server
from heliograph.homeserver.session import Session
from support.threaded import ThreadedHttpServer
from support.virtual_time import LeapingLoop

Scripted = tuple[int, Any] | tuple[int, Any, dict[str, str]]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual-time": LeapingLoop}
    return {"real-time": asyncio.new_event_loop}


class ScriptedAuthServer(ThreadedHttpServer):
    """Answers each path as `answers` says, with status, body and headers, and writes down what was sent there."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Scripted] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.metadata: dict[str, Any] = {}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/_matrix/client/v1/auth_metadata":
            return web.json_response(self.metadata)
        body = await request.json() if request.content_type == "application/json" else dict(await request.post())
        self.sent.append((request.path, body))
        status, answer, *more = self.answers.get(request.path, (404, "nothing here"))
        headers = more[0] if more else {}
        if isinstance(answer, str):
            return web.Response(status=status, text=answer, headers=headers, content_type="text/html")
        return web.json_response(answer, status=status, headers=headers)


@pytest.fixture
def scripted() -> Iterator[ScriptedAuthServer]:
    with ScriptedAuthServer() as server:
        server.metadata = auth_metadata(server.url)
        yield server


@pytest.fixture
async def auth_server(scripted: ScriptedAuthServer) -> AuthServer:
    session = Session(scripted.url)
    try:
        found = await find_auth_server(session)
    finally:
        await session.close()
    assert found is not None
    return found
