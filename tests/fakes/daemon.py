"""The control side of a daemon on a private bus, in a thread of its own: for commands, which have their own loop."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from fakes.answers import FakeAnswers
from heliograph.control.service import Control
from heliograph.core.summary.summary import Summary
from support.buses import PrivateBus


class FakeDaemon:
    """On the bus for the length of the `with` block."""

    def __init__(self, bus: PrivateBus, answers: FakeAnswers, summary: Summary | None = None) -> None:
        self.answers = answers
        self._bus = bus
        self._summary = summary or Summary()
        self._up = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> FakeDaemon:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def publish(self, summary: Summary) -> None:
        """As the daemon does when something changed."""
        self._loop.call_soon_threadsafe(self._control.publish, summary)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._control = Control(self.answers, bus_address=self._bus.address)
        self._control.publish(self._summary)
        await self._control.start()
        self._up.set()
        await self._stop.wait()
        await self._control.stop()
