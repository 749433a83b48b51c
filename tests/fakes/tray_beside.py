"""A tray in a thread of its own: for commands, which have their own loop."""

from __future__ import annotations

from fakes.tray import FakeTray
from support.buses import PrivateBus
from support.threaded import Threaded


class TrayBeside(Threaded):
    """On the bus for the length of the `with` block."""

    def __init__(self, bus: PrivateBus, *, has_host: bool = True) -> None:
        super().__init__()
        self._tray = FakeTray(bus.address)
        if not has_host:
            self._tray.lose_host()

    async def begin(self) -> None:
        await self._tray.start()

    async def end(self) -> None:
        await self._tray.stop()
