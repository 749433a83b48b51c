"""A display of a test's own: Xvfb, and the programs that a test starts on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

KILLED_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_PATIENCE_S = 15


class VirtualScreen:
    """Xvfb for the length of a `with` block, and what `start` of a subclass brings up on it, which ends with it.

    `folder` is theirs: for configuration, as a home, and for a log of each program.
    """

    def __init__(self, name: str, size: str = "1280x720") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"heliograph-{name}-"))
        self.display = ""
        self._size = size
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start_screen()
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def environ(self) -> dict[str, str]:
        """For programs on this display."""
        return {**os.environ, "DISPLAY": self.display}

    def start(self) -> None:
        """Starts what is to be on this display. Returns when that works."""
        raise NotImplementedError

    def spawn(
        self, *command: str, log: Path, environ: Mapping[str, str] | None = None, kept: Collection[int] = ()
    ) -> subprocess.Popen[bytes]:
        """Starts a program here, which ends with the display. What it writes goes to `log`; `kept` are files that stay
        open in it."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*KILLED_WITH_US, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.environ, **(environ or {})},
                pass_fds=kept,
            )
        self._processes.append(process)
        return process

    def run(self, *command: str, environ: Mapping[str, str] | None = None, check: bool = True) -> str:
        """What a program says that ends at once. Raises RuntimeError if it fails, unless `check` is off."""
        done = subprocess.run(
            command,
            check=False,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Ends one of the programs before the others."""
        self._processes.remove(process)
        _end(process)

    def _start_screen(self) -> None:
        reading, writing = os.pipe()
        log = self.folder / "screen.log"
        with os.fdopen(reading) as answer:
            try:
                screen = ("-screen", "0", f"{self._size}x24", "-nolisten", "tcp")
                self.spawn("Xvfb", "-displayfd", str(writing), *screen, log=log, kept=(writing,))
            finally:
                os.close(writing)
            number = answer.readline().strip()  # ends, empty, when Xvfb does
        if not number:
            raise RuntimeError("Xvfb did not start: " + log.read_text(errors="replace"))
        self.display = f":{number}"

    def _end(self) -> None:
        while self._processes:
            _end(self._processes.pop())
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when the condition holds that `process` is to bring about. Raises RuntimeError, with its log, if it ends
    or takes too long."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{log.stem} did not start: " + log.read_text(errors="replace"))
        time.sleep(0.01)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait(5)
