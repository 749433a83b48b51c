"""Runs another program for a limited time. The programs that it starts itself end with it."""

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
    """Runs `command`. Returns its exit status (None if it did not end within `timeout_s`) and, with `output` PIPE, what
    it wrote. Raises OSError if it cannot be started.

    `environment` is added to ours. `errors` None: the program inherits our standard error.
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
            # The whole session and not one process: a script's children would live on, and hold its pipe open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode, written or b""
