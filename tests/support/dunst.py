"""A real notification server on a display of its own: dunst under Xvfb, on a private bus."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from support.buses import PrivateBus

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


class DunstSession:
    """Xvfb and dunst for the length of a `with` block. Popups stay until somebody closes them.

    `look` are further lines of dunstrc.
    """

    def __init__(self, bus: PrivateBus, look: str = "") -> None:
        self._bus = bus
        self._folder = Path(tempfile.mkdtemp(prefix="heliograph-dunst-"))
        self._screen: subprocess.Popen[bytes] | None = None
        self._dunst: subprocess.Popen[bytes] | None = None
        self.display = ""
        (self._folder / "dunstrc").write_text(_DUNSTRC.format(folder=self._folder) + look)
        for name, script in (("choose", _CHOOSE), ("browse", _BROWSE)):
            (self._folder / name).write_text(script.format(folder=self._folder))
            (self._folder / name).chmod(0o700)

    def __enter__(self) -> DunstSession:
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
        """For programs on this display and bus."""
        return {**self._bus.environ, "DISPLAY": self.display, "HOME": str(self._folder)}

    def start(self) -> None:
        """Returns when dunst owns its name on the bus."""
        with (self._folder / "dunst.log").open("ab") as output:
            self._dunst = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "dunst", "-conf", str(self._folder / "dunstrc")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environ,
            )
        deadline = time.monotonic() + 15
        while not self._bus.has_owner("org.freedesktop.Notifications"):
            if self._dunst.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("dunst did not start: " + (self._folder / "dunst.log").read_text())
            time.sleep(0.01)

    def stop(self) -> None:
        """As when the notification server crashes or is restarted."""
        _end(self._dunst)
        self._dunst = None

    def ctl(self, *words: str) -> str:
        """What `dunstctl` says to these words."""
        return self._run("dunstctl", *words)

    def count(self) -> int:
        """Popups on screen now."""
        return int(self.ctl("count", "displayed"))

    def history(self) -> list[dict[str, Any]]:
        """Popups that were closed, newest first: `summary`, `body`, `id`, `appname`, `category` and more."""
        answer = json.loads(self.ctl("history"))
        return [{key: entry[key]["data"] for key in entry} for entry in answer["data"][0]]

    def choose(self, label: str) -> None:
        """Picks the first action whose menu line contains `label`, as a user does in dunst's menu."""
        (self._folder / "wanted").write_text(label)
        self.ctl("context")

    def screenshot(self, path: Path, geometry: str | None = None) -> None:
        """The whole screen, or WIDTHxHEIGHT+X+Y of it, as PNG."""
        crop = ["-crop", geometry] if geometry else []
        self._run("import", "-window", "root", *crop, str(path))

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, check=False, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=20
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def _start_screen(self) -> None:
        reading, writing = os.pipe()
        with (self._folder / "screen.log").open("ab") as output, os.fdopen(reading) as answer:
            try:
                command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x720x24", "-nolisten", "tcp"]
                self._screen = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[writing],
                )
            finally:
                os.close(writing)
            number = answer.readline().strip()  # ends, empty, when Xvfb does
        if not number:
            raise RuntimeError("Xvfb did not start: " + (self._folder / "screen.log").read_text())
        self.display = f":{number}"

    def _end(self) -> None:
        _end(self._dunst)
        _end(self._screen)
        shutil.rmtree(self._folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait(5)
