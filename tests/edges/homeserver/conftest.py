"""A server on loopback that answers as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import pytest
from aiohttp import web

from heliograph.core.ids import UserId
from heliograph.homeserver.session import Session

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Serve(Protocol):
    """Lets a handler answer every request, on loopback; gives a session signed in there, made with these options."""

    async def __call__(
        self, handler: Handler, *, on_progress: Callable[[], None] = ..., on_logged_out: Callable[[], None] = ...
    ) -> Session: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    closing: list[Callable[[], Awaitable[None]]] = []

    async def start(
        handler: Handler,
        *,
        on_progress: Callable[[], None] = lambda: None,
        on_logged_out: Callable[[], None] = lambda: None,
    ) -> Session:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        session = Session(
            f"http://127.0.0.1:{port}/",
            access_token="tok",
            user_id=UserId("@me:example.org"),
            device_id="D",
            on_progress=on_progress,
            on_logged_out=on_logged_out,
        )
        closing.extend([runner.cleanup, session.close])
        return session

    yield start
    for close in reversed(closing):
        await close()
