"""A Wayland session of a test's own: sway in a window of a virtual X display, where xdotool moves a real pointer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from support.screens import KILLED_WITH_US, VirtualScreen, wait_for

WIDTH, HEIGHT = 800, 300
_CONFIG = """\
output X11-1 resolution {width}x{height}
output X11-1 background {background} solid_color
xwayland disable
exec touch {folder}/up
"""
_NOBODY = "65534"

Colour = tuple[int, int, int]


class SwaySession(VirtualScreen):
    """Xvfb and sway for the length of a `with` block."""

    def __init__(self, background: str = "#2b303b") -> None:
        # The folder becomes sway's own, since sway refuses root: it runs as nobody, its clients as root all the same.
        super().__init__("sway", f"{WIDTH}x{HEIGHT}")
        self._background = background

    @property
    def environ(self) -> dict[str, str]:
        """For programs in this session; before sway is up, for those on the display."""
        sockets = [path for path in self.folder.glob("wayland-*") if path.suffix != ".lock"]
        if not sockets:
            return super().environ
        return {
            **os.environ,
            "WAYLAND_DISPLAY": str(sockets[0]),
            "XDG_CURRENT_DESKTOP": "sway",
            "GDK_BACKEND": "wayland",
            "NO_AT_BRIDGE": "1",
        }

    def point(self, x: int, y: int) -> None:
        """Moves the pointer there."""
        self._xdotool("mousemove", str(x), str(y))

    def press(self, button: int) -> None:
        """1 is left, 2 the middle one, 4 and 5 are the wheel, up and down."""
        self._xdotool("click", str(button))

    def screenshot(self, path: Path, geometry: str | None = None) -> None:
        """The whole screen, or "X,Y WIDTHxHEIGHT" of it, as PNG."""
        area = ["-g", geometry] if geometry else []
        self.run("grim", *area, str(path))

    def colours(self) -> Counter[Colour]:
        """How many pixels of the screen have which colour."""
        done = subprocess.run(
            ["grim", "-t", "ppm", "-"], check=True, env=self.environ, timeout=60, stdout=subprocess.PIPE
        )
        head = re.match(rb"P6\s\d+\s\d+\s255\s", done.stdout)
        assert head is not None, f"no picture: {done.stdout[:20]!r}"
        pixels = memoryview(done.stdout)[head.end() :]
        return Counter(zip(pixels[0::3], pixels[1::3], pixels[2::3], strict=True))

    def describe(self, picture: Path) -> str:
        """The screen in words, for a test that fails: its colours, sway's log, and a picture that is kept."""
        self.screenshot(picture)
        colours = self.colours()
        log = (self.folder / "sway.log").read_text(errors="replace")
        return f"of {colours.total()} pixels {colours.most_common(5)}, see {picture}; sway said: {log[-2000:]}"

    def _xdotool(self, *words: str) -> None:
        self.run("xdotool", *words, environ={"DISPLAY": self.display})

    def start(self) -> None:
        """Returns when sway is up."""
        config = self.folder / "config"
        config.write_text(_CONFIG.format(width=WIDTH, height=HEIGHT, background=self._background, folder=self.folder))
        as_whom: tuple[str, ...] = ()
        if os.getuid() == 0:
            shutil.chown(self.folder, int(_NOBODY), int(_NOBODY))
            as_whom = ("--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder),
            "DISPLAY": self.display,
            "WLR_BACKENDS": "x11",
            "WLR_RENDERER": "pixman",
        }
        log = self.folder / "sway.log"
        with log.open("ab") as output:
            command = [*KILLED_WITH_US[:1], *as_whom, *KILLED_WITH_US[1:], "sway", "-c", str(config)]
            sway = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ, cwd=self.folder
            )
        self._processes.append(sway)
        wait_for((self.folder / "up").exists, sway, log)
