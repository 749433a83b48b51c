"""Says what a command waits for, if the wait is so long that an empty line would look like a hang."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import click

SILENT_S = 2.0


@contextlib.asynccontextmanager
async def saying(text: str) -> AsyncIterator[None]:
    """Writes `text` to standard error once the block has taken SILENT_S."""
    timer = asyncio.get_running_loop().call_later(SILENT_S, lambda: click.echo(text, err=True))
    try:
        yield
    finally:
        timer.cancel()
