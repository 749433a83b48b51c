"""A real notification server on a display of its own: dunst under Xvfb, on a private bus."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support.buses import PrivateBus
from support.screens import VirtualScreen, wait_for

_DUNSTRC = """\
[global]
    font = DejaVu Sans 11
    width = 420
    height = 300
    origin = top-right
    offset = 24x24
    markup = full
    history_length = 100
    dmenu = {folder}/choose
    browser = {folder}/browse
[urgency_low]
    timeout = 0
[urgency_normal]
    timeout = 0
[urgency_critical]
    timeout = 0
"""
_CHOOSE = """\
#!/bin/sh
grep -m1 -F -- "$(cat {folder}/wanted)"
"""
_BROWSE = "#!/bin/sh\n"
"""No link is ever opened."""


class DunstSession(VirtualScreen):
    """Xvfb and dunst for the length of a `with` block. Popups stay until somebody closes them.

    `look` are further lines of dunstrc.
    """

    def __init__(self, bus: PrivateBus, look: str = "") -> None:
        super().__init__("dunst")
        self._bus = bus
        self._dunst: subprocess.Popen[bytes] | None = None
        (self.folder / "dunstrc").write_text(_DUNSTRC.format(folder=self.folder) + look)
        for name, script in (("choose", _CHOOSE), ("browse", _BROWSE)):
            (self.folder / name).write_text(script.format(folder=self.folder))
            (self.folder / name).chmod(0o700)

    @property
    def environ(self) -> dict[str, str]:
        """For programs on this display and bus."""
        return {**self._bus.environ, "DISPLAY": self.display, "HOME": str(self.folder)}

    def start(self) -> None:
        """Returns when dunst owns its name on the bus."""
        log = self.folder / "dunst.log"
        self._dunst = self.spawn("dunst", "-conf", str(self.folder / "dunstrc"), log=log)
        wait_for(lambda: self._bus.has_owner("org.freedesktop.Notifications"), self._dunst, log)

    def stop(self) -> None:
        """As when the notification server crashes or is restarted."""
        if self._dunst is not None:
            self.end(self._dunst)
        self._dunst = None

    def ctl(self, *words: str) -> str:
        """What `dunstctl` says to these words."""
        return self.run("dunstctl", *words)

    def inhibit(self, is_on: bool) -> None:
        """Pauses it, or goes on."""
        self.ctl("set-paused", "true" if is_on else "false")

    def count(self) -> int:
        """Popups on screen now."""
        return int(self.ctl("count", "displayed"))

    def history(self) -> list[dict[str, Any]]:
        """Popups that were closed, newest first: `summary`, `body`, `id`, `appname`, `category` and more."""
        answer = json.loads(self.ctl("history"))
        return [{key: entry[key]["data"] for key in entry} for entry in answer["data"][0]]

    def choose(self, label: str) -> None:
        """Picks the first action whose menu line contains `label`, as a user does in dunst's menu."""
        (self.folder / "wanted").write_text(label)
        self.ctl("context")

    def screenshot(self, path: Path, geometry: str | None = None) -> None:
        """The whole screen, or WIDTHxHEIGHT+X+Y of it, as PNG."""
        crop = ["-crop", geometry] if geometry else []
        self.run("import", "-window", "root", *crop, str(path))
