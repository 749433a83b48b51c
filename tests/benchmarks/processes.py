"""Processes under measurement: started with a readiness socket, read through /proc, always ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.log_guard import watch


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since its start."""

    cpu_ms: float
    """Of all its threads: from schedstat (ns), or from stat (ticks of 10 ms) where the kernel has none."""
    switches: int
    """Voluntary context switches of all its threads: each is a wait that ended, or will."""


class Measured:
    """A running process. `told` holds what it said to its readiness socket, with seconds since its start."""

    def __init__(self, process: subprocess.Popen[bytes], notify: socket.socket, started: float, log: Path) -> None:
        self._process = process
        self._notify = notify
        self._started = started
        self._log = log
        self.told: list[tuple[float, str]] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_told(self, *words: str, seconds: float = 60) -> float:
        """Seconds from the start until a message held one of these words. Raises RuntimeError."""
        deadline = time.monotonic() + seconds
        seen = 0
        while True:
            self._listen()
            for after, message in self.told[seen:]:
                if any(word in message for word in words):
                    return after
            seen = len(self.told)
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"it never said {' or '.join(words)}: {self.last_words()}")
            await asyncio.sleep(0.001)

    def check(self) -> None:
        """Raises RuntimeError if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended with {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]

    def rss_mb(self) -> float:
        """Resident set in MiB."""
        return _number(f"/proc/{self.pid}/status", "VmRSS:") / 1024

    def usage(self) -> Usage:
        cpu_ns = switches = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                switches += _number(task / "status", "voluntary_ctxt_switches:")
                cpu_ns += int((task / "schedstat").read_text().split()[0])
        if not cpu_ns:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            cpu_ns = (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return Usage(cpu_ns / 1e6, switches)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def stop(self) -> None:
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait(10)
        self._notify.close()

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self._notify.recv(4096).decode(errors="replace")
                self.told.append((time.monotonic() - self._started, message))


def start(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> Measured:
    """Starts it with $NOTIFY_SOCKET, output to a file in `folder`. It ends with this process."""
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "notify"
    address.unlink(missing_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(address))
    notify.setblocking(False)
    log = folder / "output.log"
    watch("daemon", log)
    with log.open("ab") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**environ, "NOTIFY_SOCKET": str(address)},
        )
    return Measured(process, notify, started, log)


def _number(path: str | Path, field: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return 0
