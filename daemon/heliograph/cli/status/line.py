"""Writes the line of `heliograph status --format` for a status bar, now and after each change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TextIO

from heliograph.cli.output.lines import LineOutput
from heliograph.control.watch import Watch
from heliograph.core.popups.quiet import word_quiet
from heliograph.core.summary.bar import BarState
from heliograph.core.summary.summary import Summary
from heliograph.errors import UserError
from heliograph.system.clock import now_ms
from heliograph.system.session_bus import session_bus_address
from heliograph.system.time_zone import LocalZone

Render = Callable[[BarState], str]
_FIRST_ANSWER_S = 5.0


async def follow(render: Render, stream: TextIO) -> None:
    """Writes lines until nobody reads them any more. Raises UserError if there is no session bus."""
    output = LineOutput(stream)
    await output.open()
    last: str | None = None

    def tell(summary: Summary | None) -> None:
        nonlocal last
        line = render(bar_of(summary))
        # A change of the summary often shows nothing in this format, and each line makes the bar draw anew.
        if line != last:
            last = line
            output.write(line)

    watch = Watch(_address(), tell)
    try:
        await watch.start()
        if last is None and not watch.is_connected:
            # Without a connection, the listener was not called yet, and the bar would stay empty.
            tell(None)
        await output.ended()
    finally:
        await watch.stop()
        output.close()


async def show_once(render: Render) -> str:
    """The line as it is now, for `heliograph status --format` without `--follow`."""
    told: asyncio.Future[Summary | None] = asyncio.get_running_loop().create_future()
    # A future takes one result, and a second signal may come before the watch has stopped.
    watch = Watch(_address(), lambda summary: None if told.done() else told.set_result(summary))
    await watch.start()
    try:
        if not watch.is_connected:
            return render(bar_of(None))
        async with asyncio.timeout(_FIRST_ANSWER_S):
            return render(bar_of(await told))
    except TimeoutError:
        return render(bar_of(None))
    finally:
        await watch.stop()


def bar_of(summary: Summary | None) -> BarState:
    """The state of a status bar: the daemon's summary, with times of day in this machine's zone."""
    if summary is None:
        return BarState()
    return BarState(summary, word_quiet(summary.quiet_why, summary.quiet_until_ms, now_ms(), LocalZone()))


def _address() -> str:
    address = session_bus_address()
    if address is None:
        raise UserError(
            "There is no session bus.", "Start it in your desktop session, or set DBUS_SESSION_BUS_ADDRESS."
        )
    return address
