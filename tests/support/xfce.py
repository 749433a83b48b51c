"""A real notification server of X11 that draws its buttons: xfce4-notifyd under Xvfb, on a private bus."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from support.buses import PrivateBus

_PLACES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/libexec", "/usr/lib64", "/usr/lib")
_NAMES = {"xfconfd": "org.xfce.Xfconf", "xfce4-notifyd": "org.freedesktop.Notifications"}
_MARGIN = 14
"""Pixels between a popup's edge and its buttons."""


class XfceSession:
    """Xvfb, xfconfd and xfce4-notifyd for the length of a `with` block. Popups stay until somebody closes them."""

    def __init__(self, bus: PrivateBus) -> None:
        self._bus = bus
        self._folder = Path(tempfile.mkdtemp(prefix="heliograph-xfce-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.display = ""

    def __enter__(self) -> XfceSession:
        try:
            self._start_screen()
            for program, name in _NAMES.items():
                process = self._spawn([_find(program)], f"{program}.log")
                self._wait_for(lambda name=name: self._bus.has_owner(name), process, f"{program}.log")  # type: ignore[misc]
            # Popups must not go while the test looks at them.
            self._run("xfconf-query", "-c", "xfce4-notifyd", "-p", "/expire-timeout", "-n", "-t", "int", "-s", "-1")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def windows(self) -> list[str]:
        """Ids of the popups' windows."""
        return self._run("xdotool", "search", "--onlyvisible", "--class", "xfce4-notifyd", check=False).split()

    def count(self) -> int:
        """Popups on screen now."""
        return len(self.windows())

    def geometry(self, window: str) -> tuple[int, int, int, int]:
        """x, y, width, height."""
        told = dict(
            line.split("=", 1)
            for line in self._run("xdotool", "getwindowgeometry", "--shell", window).splitlines()
            if "=" in line
        )
        return int(told["X"]), int(told["Y"]), int(told["WIDTH"]), int(told["HEIGHT"])

    def press(self, button: int, of: int) -> None:
        """The user clicks the newest popup's button of this number; they stand in a row, all of the same width."""
        x, y, width, height = self.geometry(self.windows()[-1])
        self._click(x + _MARGIN + int((width - 2 * _MARGIN) * (button + 0.5) / of), y + height - 2 * _MARGIN)

    def dismiss(self) -> None:
        """The user clicks on the newest popup, which closes it."""
        x, y, width, _ = self.geometry(self.windows()[-1])
        self._click(x + width // 2, y + _MARGIN // 2)

    def screenshot(self, path: Path) -> None:
        """The whole screen, as PNG."""
        self._run("import", "-window", "root", str(path))

    def _click(self, x: int, y: int) -> None:
        self._run("xdotool", "mousemove", str(x), str(y), "click", "1")

    def _environ(self) -> dict[str, str]:
        home = {"HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder), "XDG_CACHE_HOME": str(self._folder)}
        return {**self._bus.environ, "DISPLAY": self.display, "GDK_BACKEND": "x11", **home}

    def _start_screen(self) -> None:
        reading, writing = os.pipe()
        with os.fdopen(reading) as answer:
            try:
                command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x720x24", "-nolisten", "tcp"]
                self._spawn(command, "screen.log", writing)
            finally:
                os.close(writing)
            number = answer.readline().strip()  # ends, empty, when Xvfb does
        if not number:
            raise RuntimeError("Xvfb did not start: " + (self._folder / "screen.log").read_text())
        self.display = f":{number}"

    def _spawn(self, command: list[str], log: str, *kept: int) -> subprocess.Popen[bytes]:
        with (self._folder / log).open("ab") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environ(),
                pass_fds=kept,
            )
        self._processes.append(process)
        return process

    def _wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[bytes], log: str) -> None:
        deadline = time.monotonic() + 15
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{log}: " + (self._folder / log).read_text(errors="replace"))
            time.sleep(0.01)

    def _run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, check=False, env=self._environ(), stdin=subprocess.DEVNULL, capture_output=True, timeout=20
        )
        if check and done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def _end(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait(5)
        shutil.rmtree(self._folder, ignore_errors=True)


def _find(program: str) -> str:
    """They are on no PATH: the bus starts them."""
    for place in map(Path, _PLACES):
        for found in (place / program, *place.glob(f"xfce4/*/{program}")):
            if found.is_file():
                return str(found)
    raise RuntimeError(f"{program} is not installed")
