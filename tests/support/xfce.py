"""A real notification server of X11 that draws its buttons: xfce4-notifyd under Xvfb, on a private bus."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from support.buses import PrivateBus
from support.screens import VirtualScreen, wait_for

_PLACES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/libexec", "/usr/lib64", "/usr/lib")
_NAMES = {"xfconfd": "org.xfce.Xfconf", "xfce4-notifyd": "org.freedesktop.Notifications"}
_MARGIN = 14
"""Pixels between a popup's edge and its buttons."""


class XfceSession(VirtualScreen):
    """Xvfb, xfconfd and xfce4-notifyd for the length of a `with` block. Popups stay until somebody closes them."""

    def __init__(self, bus: PrivateBus) -> None:
        super().__init__("xfce")
        self._bus = bus

    @property
    def environ(self) -> dict[str, str]:
        """For programs on this display and bus."""
        home = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder)}
        return {**self._bus.environ, "DISPLAY": self.display, "GDK_BACKEND": "x11", **home}

    def start(self) -> None:
        """Returns when both own their names on the bus."""
        for program, name in _NAMES.items():
            log = self.folder / f"{program}.log"
            process = self.spawn(_find(program), log=log)
            wait_for(partial(self._bus.has_owner, name), process, log)
        # Popups must not go while the test looks at them.
        self.run("xfconf-query", "-c", "xfce4-notifyd", "-p", "/expire-timeout", "-n", "-t", "int", "-s", "-1")

    def inhibit(self, is_on: bool) -> None:
        """The user switches "do not disturb"."""
        value = "true" if is_on else "false"
        self.run("xfconf-query", "-c", "xfce4-notifyd", "-p", "/do-not-disturb", "-n", "-t", "bool", "-s", value)

    def windows(self) -> list[str]:
        """Ids of the popups' windows."""
        return self.run("xdotool", "search", "--onlyvisible", "--class", "xfce4-notifyd", check=False).split()

    def count(self) -> int:
        """Popups on screen now."""
        return len(self.windows())

    def geometry(self, window: str) -> tuple[int, int, int, int]:
        """x, y, width, height."""
        told = dict(
            line.split("=", 1)
            for line in self.run("xdotool", "getwindowgeometry", "--shell", window).splitlines()
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
        self.run("import", "-window", "root", str(path))

    def _click(self, x: int, y: int) -> None:
        self.run("xdotool", "mousemove", str(x), str(y), "click", "1")


def _find(program: str) -> str:
    """They are on no PATH: the bus starts them."""
    for place in map(Path, _PLACES):
        for found in (place / program, *place.glob(f"xfce4/*/{program}")):
            if found.is_file():
                return str(found)
    raise RuntimeError(f"{program} is not installed")
