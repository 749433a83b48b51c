"""A fake notification server on the test's private bus, and our edge on the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fakes.notification_server import NotificationServer
from heliograph.core.notification import DesktopSignal
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.buses import PrivateBus


@pytest.fixture
async def server(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    """A fake notification server, running, with dunst's habits."""
    server = NotificationServer(private_bus.address)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def signals() -> list[DesktopSignal]:
    """What `desktop` told, in order."""
    return []


@pytest.fixture
async def desktop(private_bus: PrivateBus, signals: list[DesktopSignal]) -> AsyncIterator[FreedesktopDesktop]:
    """Ours, started, impatient, and listened to. Name `server` first for one that is there from the beginning."""
    desktop = FreedesktopDesktop(private_bus.address, timeout_s=0.5)
    await desktop.start()
    desktop.listen(signals.append)
    yield desktop
    await desktop.shut()
