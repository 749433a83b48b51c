"""Makes pixels of strangers' pictures: sorts them by their first bytes, and has a process of its own decode them.

That process takes 0.1 s, once for each picture. In the daemon, Pillow would add 5 MB and a decoder of strangers' files
to the process that has the access token. Only thumbnails are asked for, so that bytes and pixels are few.
Test: test_what_is_no_small_picture_is_not_shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import sys
from pathlib import Path

from heliograph.core.notification import Picture

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024
_TIMEOUT_S = 4.0
_AT_ONCE = 2
_CHILD = Path(__file__).with_name("decoder_child.py")
_HEAD = struct.Struct(">HH")


def is_picture(data: bytes) -> bool:
    """Whether the first bytes are those of PNG, JPEG, GIF or WebP. SVG is refused: it is more of a program."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )


class Decoder:
    """Decodes pictures, in two processes at once at most."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def decode(self, data: bytes, side: int) -> Picture | None:
        """The middle of the picture as a square of `side` pixels; None if the file is too large, of another kind, or
        cannot be decoded. Never raises."""
        if len(data) > MAX_BYTES or not is_picture(data):
            return None
        async with self._turns:
            try:
                written = await _run(data, side)
            except (OSError, TimeoutError) as error:
                log.info("A picture cannot be decoded: %s", str(error) or "it takes too long")
                return None
        return _read(written, side)


async def _run(data: bytes, side: int) -> bytes:
    process = await asyncio.create_subprocess_exec(
        # -I: else the modules beside the child's file could be taken for those of the same name in the library.
        *(sys.executable, "-I", str(_CHILD), str(side)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        # Nothing of the daemon's environment: the child needs none of it, and the access token may be there.
        env={},
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            written, _ = await process.communicate(data)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return written


def _read(written: bytes, side: int) -> Picture | None:
    # Checked like what a stranger sends: the picture may have taken the child over.
    if len(written) != _HEAD.size + side * side * 4 or _HEAD.unpack_from(written) != (side, side):
        return None
    return Picture(side, side, written[_HEAD.size :])
