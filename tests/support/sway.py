"""A Wayland session of a test's own: sway in a window of a virtual X display, where xdotool moves a real pointer."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

WIDTH, HEIGHT = 800, 300
_CONFIG = """\
output X11-1 resolution {width}x{height}
output X11-1 background {background} solid_color
xwayland disable
exec touch {folder}/up
"""
_NOBODY = "65534"
_KILLED_WITH_US = ("setpriv", "--pdeathsig", "KILL")


class SwaySession:
    """Xvfb and sway for the length of a `with` block."""

    def __init__(self, background: str = "#2b303b") -> None:
        # sway's own, since it refuses root: it runs as nobody then, and its clients as root all the same.
        self._folder = Path(tempfile.mkdtemp(prefix="heliograph-sway-"))
        self._background = background
        self._processes: list[subprocess.Popen[bytes]] = []
        self._display = ""

    def __enter__(self) -> SwaySession:
        try:
            self._start_screen()
            self._start_sway()
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
        (socket,) = (path for path in self._folder.glob("wayland-*") if path.suffix != ".lock")
        return {
            **os.environ,
            "WAYLAND_DISPLAY": str(socket),
            "XDG_CURRENT_DESKTOP": "sway",
            "GDK_BACKEND": "wayland",
            "NO_AT_BRIDGE": "1",
        }

    def spawn(self, *command: str, log: Path, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a program here, which ends with the session."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*_KILLED_WITH_US, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.environ, **(environ or {})},
            )
        self._processes.append(process)
        return process

    def point(self, x: int, y: int) -> None:
        """Moves the pointer there."""
        self._xdotool("mousemove", str(x), str(y))

    def press(self, button: int) -> None:
        """1 is left, 2 the middle one, 4 and 5 are the wheel, up and down."""
        self._xdotool("click", str(button))

    def screenshot(self, path: Path, geometry: str | None = None) -> None:
        """The whole screen, or "X,Y WIDTHxHEIGHT" of it, as PNG."""
        area = ["-g", geometry] if geometry else []
        subprocess.run(["grim", *area, str(path)], check=True, env=self.environ, timeout=20)

    def colours(self) -> dict[tuple[int, int, int], int]:
        """How many pixels of the screen have which colour."""
        done = subprocess.run(
            ["grim", "-t", "ppm", "-"], check=True, env=self.environ, timeout=20, stdout=subprocess.PIPE
        )
        pixels = memoryview(done.stdout)[-WIDTH * HEIGHT * 3 :]
        found: dict[tuple[int, int, int], int] = {}
        for start in range(0, len(pixels), 3):
            colour = (pixels[start], pixels[start + 1], pixels[start + 2])
            found[colour] = found.get(colour, 0) + 1
        return found

    def _xdotool(self, *words: str) -> None:
        environ = {**os.environ, "DISPLAY": self._display}
        subprocess.run(["xdotool", *words], check=True, env=environ, timeout=20)

    def _start_screen(self) -> None:
        reading, writing = os.pipe()
        with (self._folder / "screen.log").open("ab") as output, os.fdopen(reading) as answer:
            try:
                screen = f"{WIDTH}x{HEIGHT}x24"
                command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", screen, "-nolisten", "tcp"]
                self._processes.append(
                    subprocess.Popen(
                        [*_KILLED_WITH_US, *command],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        pass_fds=[writing],
                    )
                )
            finally:
                os.close(writing)
            number = answer.readline().strip()  # ends, empty, when Xvfb does
        if not number:
            raise RuntimeError("Xvfb did not start: " + (self._folder / "screen.log").read_text())
        self._display = f":{number}"

    def _start_sway(self) -> None:
        config = self._folder / "config"
        config.write_text(_CONFIG.format(width=WIDTH, height=HEIGHT, background=self._background, folder=self._folder))
        as_whom: tuple[str, ...] = ()
        if os.getuid() == 0:
            shutil.chown(self._folder, int(_NOBODY), int(_NOBODY))
            as_whom = ("--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "XDG_RUNTIME_DIR": str(self._folder),
            "DISPLAY": self._display,
            "WLR_BACKENDS": "x11",
            "WLR_RENDERER": "pixman",
        }
        log = self._folder / "sway.log"
        with log.open("ab") as output:
            command = [*_KILLED_WITH_US[:1], *as_whom, *_KILLED_WITH_US[1:], "sway", "-c", str(config)]
            sway = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ, cwd=self._folder
            )
        self._processes.append(sway)
        deadline = time.monotonic() + 15
        while not (self._folder / "up").exists():
            if sway.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("sway did not start: " + log.read_text())
            time.sleep(0.01)

    def _end(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        shutil.rmtree(self._folder, ignore_errors=True)
