"""Small disks that can be filled and made read-only, and clocks that began elsewhere: namespaces of their own.

Programs enter them by a command put before theirs. The test stays outside, and reaches files through /proc/PID/root.
SQLite follows that path to the file of the same name outside, so a process of the namespace reads the ledger for the
test. A disk is made read-only while the daemon is down, since no kernel remounts a tmpfs that is being written. Wall
clocks have no namespace: the test's launcher sets that of the daemon.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_HOLDER = Path(__file__).with_name("disk_holder.py")


class SmallDisks:
    """A context manager: one tmpfs for each name, of some MiB, and a time namespace `boot_s` later than the machine's.

    Gone with this process, however that ends.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, boot_s: int = 0) -> None:
        self._folder = folder
        self._names = names
        self._boot_s = boot_s
        self._pid = 0

    def __enter__(self) -> SmallDisks:
        for name in self._names:
            (self._folder / name).mkdir(parents=True)
        time = ["--time", "--monotonic", str(self._boot_s), "--boottime", str(self._boot_s)]
        rights = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
        holder = [sys.executable, "-I", str(_HOLDER), *(str(self._folder / name) for name in self._names)]
        self._process = subprocess.Popen(
            ["unshare", *rights, "--mount", *time, "--fork", "--kill-child", *holder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._pid = int(self._hear())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=5)
        self._process.kill()
        self._process.wait()

    def inside(self, name: str) -> Path:
        """Where those who entered find it."""
        return self._folder / name

    def outside(self, name: str) -> Path:
        """Where the test reaches it."""
        return Path(f"/proc/{self._pid}/root{self._folder / name}")

    def fill(self, name: str) -> None:
        """Not a byte is left."""
        with (self.outside(name) / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1 << 16))

    def empty(self, name: str) -> None:
        """As `fill` found it."""
        (self.outside(name) / "ballast").unlink(missing_ok=True)

    def make_read_only(self, name: str, *, is_so: bool = True) -> None:
        """Nobody may have a file there open for writing."""
        self._tell("remount", str(self._folder / name), is_so)

    def query(self, name: str, file: Path, sql: str) -> list[Any]:
        """The rows of a SQLite file."""
        return list(self._tell("query", str(self.inside(name) / file), sql))

    @property
    def enter(self) -> list[str]:
        """Put before a command, this gives it the disks, and the other monotonic clock."""
        user = [] if os.geteuid() == 0 else [f"--user=/proc/{self._pid}/ns/user", "--preserve-credentials"]
        namespaces = f"/proc/{self._pid}/ns"
        return ["nsenter", *user, f"--mount={namespaces}/mnt", f"--time={namespaces}/time", "--"]

    def _tell(self, *words: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._hear())

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
