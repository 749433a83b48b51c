"""`heliograph relay` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aiohttp

from heliograph.demo.homeserver import free_port
from waiting import until


class RelayProcess:
    """An async context manager. `kill` and `start` keep its state and its port."""

    def __init__(self, homeserver: str, state: Path) -> None:
        self.port = free_port()
        self._homeserver = homeserver
        self._state = state
        self._log = state.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def __aenter__(self) -> RelayProcess:
        await self.start()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.kill()
        if error is not None:
            print(self.log)

    async def start(self) -> None:
        """Returns when it answers."""
        await asyncio.to_thread(self._spawn)
        await until(self._answers, "the relay")

    async def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        return await asyncio.to_thread(process.wait, 20)

    def _spawn(self) -> None:
        options = ["--homeserver", self._homeserver, "--listen", f"127.0.0.1:{self.port}", "--state", str(self._state)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "heliograph", "relay", *options, "--allow-http-loopback"],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            async with aiohttp.request("GET", f"{self.url}/_matrix/client/versions") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False
