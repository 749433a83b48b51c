"""What the sink noted, by the mark that each message carries in its body."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

_MARK = re.compile(r"bench-[a-z0-9-]+?-\d+-end")


def mark(name: str, number: int) -> str:
    """A text that is found again in whatever a contestant makes of the message."""
    return f"bench-{name}-{number}-end"


class Arrivals:
    """Runs the sink on a bus. `at` gives CLOCK_MONOTONIC in ns of the first notification that held a mark."""

    def __init__(self) -> None:
        self.at: dict[str, int] = {}
        self.count = 0
        self._news = asyncio.Event()

    async def start(self, bus: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", sys.executable, str(Path(__file__).with_name("sink.py"))),
            stdout=asyncio.subprocess.PIPE,
            env={"DBUS_SESSION_BUS_ADDRESS": bus},
            limit=1 << 20,
        )
        assert self._process.stdout is not None
        await asyncio.wait_for(self._process.stdout.readline(), 20)
        self._reading = asyncio.create_task(self._read(self._process.stdout))

    async def wait(self, text: str, seconds: float) -> int | None:
        """When it came, or None if it did not in time."""
        try:
            async with asyncio.timeout(seconds):
                while text not in self.at:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        return self.at[text]

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            note = json.loads(line)
            self.count += 1
            for found in _MARK.findall(f"{note['summary']}\n{note['body']}"):
                self.at.setdefault(found, note["t"])
            self._news.set()
