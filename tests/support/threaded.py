"""A server in a thread and an event loop of its own: for commands, which run loops themselves."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from aiohttp import web


class Threaded:
    """Serves for the length of a `with` block. Subclasses start in `begin` and end in `end`, both in the thread."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)

    async def begin(self) -> None:
        """Returns when the server can be used."""
        raise NotImplementedError

    async def end(self) -> None:
        """Returns when nothing is left of the server."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _live(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self.begin()
        self._ready.set()
        await self._stop.wait()
        await self.end()


class ThreadedHttpServer(Threaded):
    """Answers HTTP on loopback, at `url` since the block began."""

    shutdown_s = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response to a request."""
        raise NotImplementedError

    async def begin(self) -> None:
        self._runner = web.ServerRunner(web.Server(self.answer, access_log=None), shutdown_timeout=self.shutdown_s)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def end(self) -> None:
        await self._runner.cleanup()
