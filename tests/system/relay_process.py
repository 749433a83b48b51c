"""`heliograph relay` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import aiohttp

from heliograph.relay.departure import set_leaving
from heliograph.relay.store.sqlite.overview import read_overview
from support.log_guard import watch
from support.ports import reserve_port
from support.waiting import until

_LAUNCHER = Path(__file__).with_name("relay_launcher.py")


class RelayProcess:
    """An async context manager. `kill` and `start` keep its state and its port."""

    def __init__(self, homeserver: str, state: Path, config: str = "") -> None:
        """`config` is TOML."""
        self.port = reserve_port(self)
        self._config = state.with_suffix(".toml")
        self._config.write_text(config)
        self.options: Sequence[str] = ()
        """More of the command line."""
        self.prefix: Sequence[str] = ()
        """A command that runs it."""
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

    @property
    def has_died(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    async def __aenter__(self) -> RelayProcess:
        await self.start()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.kill()

    async def start(self, step: str = "") -> None:
        """Returns when it answers. With a `step` of the launcher, it kills itself there: maybe before that."""
        watch("relay", self._log)
        await asyncio.to_thread(self._spawn, step)
        while not (step and self.has_died) and not await self._answers():
            assert step or not self.has_died, self.log[-3000:]
            await asyncio.sleep(0.05)

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

    def peak_mib(self) -> int:
        """The most memory that it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return peak // 1024

    async def say_leaving(self, *, is_leaving: bool) -> None:
        """As `heliograph relay leave` does, or `--cancel`."""
        await asyncio.to_thread(set_leaving, self._state, is_leaving=is_leaving)

    async def users(self) -> Collection[str]:
        """Users who have pushers or pushes here."""
        return (await read_overview(self._state)).pushers.keys()

    def waiting(self) -> int:
        """Pushes that nothing became of yet."""
        with sqlite3.connect(f"file:{self._state}/relay.db?mode=ro", uri=True) as db:
            (number,) = db.execute("SELECT count(*) FROM pushes WHERE outcome IS NULL").fetchone()
        db.close()
        return int(number)

    async def settled(self) -> None:
        """Returns when no push waits any more."""
        await until(lambda: self.waiting() == 0, "the end of the queue", 60)

    def _spawn(self, step: str) -> None:
        program = [str(_LAUNCHER), step] if step else ["-m", "heliograph"]
        options = [
            *("--config", str(self._config), "--homeserver", self._homeserver),
            *("--listen", f"127.0.0.1:{self.port}", "--state", str(self._state)),
        ]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.prefix, sys.executable, *program, "relay", *options, "--allow-http-loopback", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )

    async def _answers(self) -> bool:
        try:
            async with aiohttp.request("GET", f"{self.url}/_heliograph/v1/met/nobody") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False
