"""Writes lines for another program, for as long as that program reads them.

A status bar that ends leaves its scripts running. So two things are watched: the reader's end of the pipe, and the
process that started us, since a shell between the bar and us may hold that end open.
Tests: test_it_ends_when_nobody_reads, test_it_ends_with_the_bar_even_if_another_program_holds_the_pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from typing import TextIO


class LineOutput(asyncio.BaseProtocol):
    """Writes lines to `stream`. A reader that pauses gets only the newest line when it goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._transport: asyncio.WriteTransport | None = None
        self._is_full = False
        """True while the reader has not taken all of the last line."""
        self._waiting: str | None = None
        self._ended = asyncio.Event()
        self._parent: int | None = None

    async def open(self) -> None:
        """Begins to watch the reader and the process that started us."""
        if not _is_pipe(self._stream):
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            # A descriptor, not PR_SET_PDEATHSIG: that signal follows the thread that started us, and not its process.
            self._parent = os.pidfd_open(os.getppid())
            loop.add_reader(self._parent, self._ended.set)
        transport, _ = await loop.connect_write_pipe(lambda: self, self._stream)
        self._transport = transport
        # Nothing may pile up: a reader that pauses would get minutes of old lines when it goes on.
        transport.set_write_buffer_limits(high=0)

    async def ended(self) -> None:
        """Waits until nobody reads any more."""
        await self._ended.wait()

    def close(self) -> None:
        """Stops watching, and drops what the reader has not taken yet."""
        if self._parent is not None:
            asyncio.get_running_loop().remove_reader(self._parent)
            os.close(self._parent)
            self._parent = None
        if self._transport is not None and not self._transport.is_closing():
            # Not `close`, which waits until the reader has taken the rest: a bar that hangs would hold this up.
            self._transport.abort()

    def write(self, line: str) -> None:
        """Writes one line at once, or keeps it until the reader goes on."""
        if self._transport is None:
            self._write_through(line)
        elif self._transport.is_closing():
            # The reader is gone, which `ended` tells.
            return
        elif self._is_full:
            self._waiting = line
        else:
            self._transport.write(_encode(line))

    def _write_through(self, line: str) -> None:
        try:
            self._stream.write(_encode(line).decode())
            self._stream.flush()
        except OSError:
            # The terminal was closed.
            self._ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        line, self._waiting = self._waiting, None
        if line is not None:
            self.write(line)


def _encode(line: str) -> bytes:
    # Names may have lone surrogates, which have no UTF-8: one of them must not end the bar's script.
    return f"{line}\n".encode("utf-8", "replace")


def _is_pipe(stream: TextIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return False
    # Files and terminals are written through: they take a line at once, and have no end to watch.
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
