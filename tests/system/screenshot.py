"""Takes the picture of a message: `PYTHONPATH=daemon:tests python tests/system/screenshot.py FILE.png`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buses import PrivateBus
from dunst import DunstSession
from heliograph.core.delivery import Done
from heliograph.core.notification import Notification, ServerChanged
from heliograph.desktop.freedesktop import FreedesktopDesktop
from waiting import until

AREA = "480x128+788+12"
MESSAGE = Notification(
    summary="Alice in Lunch",
    body="Noodles at noon? The place by the river\nhas <outdoor> seats again & shade.",
    account="@me:example.org",
    sound="default",
)
_LOOK = """\
[global]
    font = DejaVu Sans 11
    width = 440
    height = 300
    origin = top-right
    offset = 24x24
    padding = 16
    horizontal_padding = 18
    text_icon_padding = 18
    frame_width = 1
    frame_color = "#4c566a"
    corner_radius = 0
    markup = full
    format = "<b>%s</b>\\n%b"
    line_height = 3
    min_icon_size = 52
    max_icon_size = 52
    show_indicators = no
[urgency_normal]
    background = "#2b303b"
    foreground = "#eceff4"
    timeout = 0
"""


async def take(path: Path) -> None:
    """Shows one message on a dunst of its own and writes what the screen shows."""
    with PrivateBus() as bus, DunstSession(bus) as session:
        session.stop()
        with _dunst(session.environ):
            desktop = FreedesktopDesktop(bus.address)
            await desktop.start()
            lives: list[object] = []
            desktop.listen(lives.append)
            await until(lambda: lives[-1] != ServerChanged(None), "dunst")
            outcome = await desktop.show(MESSAGE, None)
            assert isinstance(outcome, Done), outcome
            await until(lambda: session.count() == 1, "the popup")
            await asyncio.sleep(0.3)  # until it is painted
            session.screenshot(path, AREA)
            await desktop.shut()


@contextmanager
def _dunst(environ: dict[str, str]) -> Iterator[None]:
    with tempfile.NamedTemporaryFile("w", suffix=".dunstrc") as config:
        config.write(_LOOK)
        config.flush()
        process = subprocess.Popen(["dunst", "-conf", config.name], env=environ, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
