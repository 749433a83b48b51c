"""Reads a line that is typed, so that the waiting for it can be ended."""

from __future__ import annotations

import asyncio
import os
import sys

_MAX_LINE = 4096


async def read_line() -> str:
    """The next line of standard input, with its line break; "" at the end of input.

    Not read in a thread, which could not be ended when an answer comes from elsewhere, or by Ctrl-C.
    """
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    came = loop.create_future()
    try:
        loop.add_reader(descriptor, came.set_result, None)
    except PermissionError:
        pass  # a regular file, which is always ready
    else:
        try:
            await came
        finally:
            loop.remove_reader(descriptor)
    # Something is there to read by now, so that this thread does not wait.
    return (await asyncio.to_thread(os.read, descriptor, _MAX_LINE)).decode(errors="replace")
