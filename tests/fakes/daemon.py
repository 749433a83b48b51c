"""The control side of a daemon on a private bus, in a thread of its own: for commands, which have their own loop."""

from __future__ import annotations

from fakes.answers import FakeAnswers
from heliograph.control.service import Control
from heliograph.core.summary.summary import Summary
from support.buses import PrivateBus
from support.threaded import Threaded


class FakeDaemon(Threaded):
    """On the bus for the length of the `with` block."""

    def __init__(self, bus: PrivateBus, answers: FakeAnswers, summary: Summary | None = None) -> None:
        super().__init__()
        self.answers = answers
        self._bus = bus
        self._summary = summary or Summary()

    def publish(self, summary: Summary) -> None:
        """As the daemon does when something changed."""
        self.loop.call_soon_threadsafe(self._control.publish, summary)

    async def begin(self) -> None:
        self._control = Control(self.answers, bus_address=self._bus.address)
        self._control.publish(self._summary)
        await self._control.start()

    async def end(self) -> None:
        await self._control.stop()
