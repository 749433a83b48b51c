"""Waiting for what happens in other processes: as short as possible, never for ever."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


async def until(condition: Callable[[], Any | Awaitable[Any]], what: str = "the condition", seconds: float = 20) -> Any:
    """Returns the first true answer of `condition`, asked a hundred times a second. Raises AssertionError when late."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds:g} s")
        await asyncio.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Whether no such process runs; one that only waits for its parent to look does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
