"""Shows a notice of a program that cannot go on, on the session's notification server, whatever is configured."""

from __future__ import annotations

import asyncio
import contextlib

from heliograph.core.delivery import Done, RetryLater
from heliograph.core.notification import Category, Notification, Urgency
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.system.session_bus import session_bus_address

PATIENCE_S = 10.0
"""In a session that just begins the notification server may come later than we do."""
_PAUSE_S = 0.5


async def say_last_words(title: str, text: str, patience_s: float = PATIENCE_S) -> bool:
    """Shows the notice; returns whether that worked, within `patience_s` and the time-out of one call."""
    address = session_bus_address()
    if address is None:
        return False
    notice = Notification(title, text, "", category=Category.DEVICE, urgency=Urgency.CRITICAL)
    desktop = FreedesktopDesktop(address)
    try:
        async with asyncio.timeout(patience_s):
            return await desktop.start() and await _show(desktop, notice)
    except TimeoutError:
        return False
    finally:
        await desktop.shut()


async def _show(desktop: FreedesktopDesktop, notice: Notification) -> bool:
    changed = asyncio.Event()
    desktop.listen(lambda _: changed.set())
    while True:
        changed.clear()
        outcome = await desktop.show(notice, None)
        if not isinstance(outcome, RetryLater):
            return isinstance(outcome, Done)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE_S):
                await changed.wait()
