"""The signal by which a service manager asks a program to read its settings again: SIGHUP."""

from __future__ import annotations

import asyncio
import signal
import sys


def note_hangups(stop: asyncio.Event) -> asyncio.Event:
    """Returns an event that each SIGHUP sets. For the running event loop.

    In a terminal SIGHUP says that the terminal was closed: there it sets `stop` instead.
    """
    asked = asyncio.Event()
    is_in_terminal = sys.stdin is not None and sys.stdin.isatty()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, (stop if is_in_terminal else asked).set)
    return asked
