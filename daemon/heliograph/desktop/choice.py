"""Chooses where notifications appear. A back end other than the session bus is loaded only when it is wanted."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from typing import TextIO

from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.desktop.sounds import Sounds
from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.ports.desktop import Desktop
from heliograph.system.session_bus import session_bus_address

BACKENDS = ("auto", "freedesktop", "plyer", "terminal")


async def open_desktop(backend: str = "auto", stream: TextIO | None = None, *, sounds: Sounds | None = None) -> Desktop:
    """The named back end, or with "auto" the best one that works: the session bus, even where no notification server
    runs yet; plyer; `stream` (standard output), where somebody may read it. Raises UserError for a named one that
    cannot work.
    """
    stream = sys.stdout if stream is None else stream
    match backend:
        case "auto":
            return await _open_best(stream, sounds)
        case "freedesktop":
            return await _open_freedesktop(sounds)
        case "plyer":
            return await _open_portable()
        case "terminal":
            return _open_terminal(stream)
    raise UserError(
        f"There is no notification back end {backend!r}", f"Use one of {', '.join(BACKENDS)}.", exit_code=EXIT_CONFIG
    )


async def _open_best(stream: TextIO, sounds: Sounds | None) -> Desktop:
    address = session_bus_address()
    if address is not None:
        desktop = FreedesktopDesktop(address, sounds=sounds)
        if await desktop.start():
            return desktop
        await desktop.shut()
    from heliograph.desktop.portable import PortableDesktop, why_not_portable

    if await asyncio.to_thread(why_not_portable, is_bus_there=False) is None:
        return PortableDesktop()
    if _may_be_read(stream):
        return _open_terminal(stream)
    if address is not None:
        # In the journal nobody sees a message, and everybody in its group reads it: rather wait for the bus.
        desktop = FreedesktopDesktop(address, sounds=sounds)
        await desktop.start()
        return desktop
    raise UserError("There is nowhere to show notifications: no session bus, no display, no terminal", _BUS_HINT)


_BUS_HINT = "Start it in your desktop session, or set DBUS_SESSION_BUS_ADDRESS to the session's bus."


async def _open_freedesktop(sounds: Sounds | None) -> Desktop:
    address = session_bus_address()
    if address is None:
        raise UserError("There is no session bus", _BUS_HINT)
    desktop = FreedesktopDesktop(address, sounds=sounds)
    if not await desktop.start():
        await desktop.shut()
        raise UserError(f"The session bus at {address} does not answer", _BUS_HINT)
    return desktop


async def _open_portable() -> Desktop:
    from heliograph.desktop.portable import PortableDesktop, why_not_portable

    is_bus_there = False
    if address := session_bus_address():
        # plyer reports no failure: whether a bus answers has to be found out before.
        probe = FreedesktopDesktop(address)
        is_bus_there = await probe.start()
        await probe.shut()
    if why := await asyncio.to_thread(why_not_portable, is_bus_there=is_bus_there):
        raise UserError(f"plyer cannot show notifications: {why}", "Choose another back end, or none.")
    return PortableDesktop()


def _open_terminal(stream: TextIO) -> Desktop:
    from heliograph.desktop.terminal import TerminalDesktop

    return TerminalDesktop(stream)


def _may_be_read(stream: TextIO) -> bool:
    """Whether somebody may read this stream: a terminal, pipe or file, not the journal (a socket) or /dev/null."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
        return stream.isatty() or stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
    except (OSError, ValueError):
        # Kept in memory: whoever passed it reads it.
        return not stream.closed
