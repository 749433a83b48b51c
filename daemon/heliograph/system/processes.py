"""Runs another program to its end, and not for longer than it may. What it starts itself ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)


async def run_program(
    command: Sequence[str],
    timeout_s: float,
    environment: Mapping[str, str],
    *,
    output: int = asyncio.subprocess.DEVNULL,
    errors: int | None = asyncio.subprocess.DEVNULL,
) -> tuple[int | None, bytes]:
    """Exit status and what was written to `output`; no status if it did not end in time. Raises OSError.

    `environment` is added to ours; `errors` None: its standard error is ours.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            written, _ = await process.communicate()
    except TimeoutError:
        log.debug("%s did not end within %g s", command[0], timeout_s)
        return None, b""
    finally:
        if process.returncode is None:
            # The whole session: a script's children hold its pipe open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode, written or b""
