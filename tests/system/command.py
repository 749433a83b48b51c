"""`heliograph ...`, as a process of its own, as a user types it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from heliograph.demo.user import DemoUser


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    errors: str


async def heliograph(*words: str, typed: str = "", seconds: float = 60) -> Ended:
    """Runs the command to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "heliograph", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(typed.encode()), seconds)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


async def log_in(user: DemoUser) -> Ended:
    words = ("login", user.user_id, "--homeserver", user.base_url, "--secrets", "file", "--password-stdin")
    return await heliograph(*words, typed=f"{user.password}\n")
