"""The way to Redis, over which the processes of a Synapse tell one another what is new: it can be made slow."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Replication:
    """An async context manager that listens at `port`, and leads to the Redis at `redis_port`."""

    def __init__(self, port: int, redis_port: int) -> None:
        self.lag_s = 0.0
        """By so much everything comes later, in both directions."""
        self._port = port
        self._redis_port = redis_port
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def lag(self, lag_s: float, seconds: float) -> None:
        """Is slow for so long."""
        self.lag_s = lag_s
        await asyncio.sleep(seconds)
        self.lag_s = 0.0

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._redis_port)
        except OSError:
            # Redis restarts: whoever comes is sent away, and comes again.
            writer.close()
            return
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        loop, due = asyncio.get_running_loop(), 0.0
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                # Never before what came earlier, when the lag was longer.
                due = max(loop.time() + self.lag_s, due + 1e-6)
                loop.call_at(due, target.write, data)
        loop.call_at(due + 1e-6, target.close)
