"""Real status bars, with what docs/status-bars.md says to write into their configuration."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from documentation.pages import read_page
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from heliograph.core.summary.summary import RoomCount, Summary
from support.builders import ME, ROOM
from support.buses import PrivateBus
from support.sway import WIDTH, Colour, SwaySession
from support.waiting import has_ended, until
from system.evidence import PATIENCE_S

NASTY = "</span> <b>& \"'%{F#f00} \\n"
NONE = Summary(state="connected")
UNREAD = Summary(state="connected", unread=3, rooms=(RoomCount(ME, ROOM, NASTY, 3, 0),))
HIGHLIGHT = Summary(state="connected", unread=3, highlights=1, rooms=(RoomCount(ME, ROOM, NASTY, 3, 1),))
QUIET = Summary(state="connected", unread=3, paused_until_ms=-1, quiet_why="paused", quiet_until_ms=-1)
OFFLINE = Summary(state="offline", accounts=((ME, "offline"),))

RED, GREEN, BLUE, YELLOW, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255)
_STYLE = """\
* { font-family: DejaVu Sans; font-size: 14px; min-height: 0; }
window#waybar { background: #000000; }
#custom-heliograph { background: #ffffff; padding: 0 20px; }
#custom-heliograph.unread { background: #00ff00; }
#custom-heliograph.highlight { background: #ff0000; }
#custom-heliograph.quiet { background: #0000ff; }
#custom-heliograph.offline { background: #ffff00; }
"""
_COMMAND = """\
#!/bin/sh
case "$1" in
    status) echo "$$" >>{folder}/pids; exec {python} -m heliograph "$@" ;;
    *) echo "$*" >>{folder}/called ;;
esac
"""


def snippet(bar: str) -> str:
    """What docs/status-bars.md says for this bar: the first indented block below its name."""
    return "\n".join(read_page("docs/status-bars.md").blocks(bar)[0]) + "\n"


class Installed:
    """`heliograph` on the PATH: follows for real, and only notes what a click makes of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "bin").mkdir()
        self.path = f"{folder}/bin:{os.environ['PATH']}"
        program = folder / "bin/heliograph"
        program.write_text(_COMMAND.format(folder=folder, python=sys.executable))
        program.chmod(0o700)

    def called(self) -> list[str]:
        return self._lines("called")

    def followers(self) -> list[int]:
        return [int(pid) for pid in self._lines("pids")]

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        return path.read_text().splitlines() if path.exists() else []


@dataclass
class Waybar:
    """waybar on a screen, where its module's colour tells the state."""

    session: SwaySession
    log: Path

    async def shows(self, colour: Colour) -> None:
        """Returns when there is more of it than the edges of letters have; a failure tells all that can be seen."""
        try:
            await until(lambda: self.session.colours()[colour] > 500, f"{colour} in waybar", PATIENCE_S)
        except AssertionError as late:
            seen = self.session.describe(self.log.with_suffix(".png"))
            said = self.log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{late}: {seen}; waybar said: {said}") from None


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


@pytest.fixture
def daemon(private_bus: PrivateBus) -> Iterator[FakeDaemon]:
    with FakeDaemon(private_bus, FakeAnswers(), NONE) as daemon:
        yield daemon


async def test_waybar_shows_every_state_takes_clicks_and_ends_what_it_started(
    daemon: FakeDaemon, installed: Installed, tmp_path: Path
) -> None:
    module = json.loads("{" + snippet("waybar") + "}")
    config = {"layer": "top", "position": "top", "height": 40, "modules-right": [*module], **module}
    (tmp_path / "config").write_text(json.dumps(config))
    (tmp_path / "style.css").write_text(_STYLE)
    log = tmp_path / "waybar.log"
    with SwaySession("#000000") as session:
        words = ("-c", str(tmp_path / "config"), "-s", str(tmp_path / "style.css"))
        process = session.spawn("waybar", *words, log=log, environ={"PATH": installed.path})
        waybar = Waybar(session, log)
        await until(installed.followers, "the command in waybar", PATIENCE_S)
        for summary, colour in ((UNREAD, GREEN), (HIGHLIGHT, RED), (QUIET, BLUE), (OFFLINE, YELLOW)):
            daemon.publish(summary)
            await waybar.shows(colour)
        daemon.publish(NONE)
        await until(lambda: not {YELLOW, WHITE} & set(session.colours()), "the module to be hidden", PATIENCE_S)

        daemon.publish(UNREAD)
        await waybar.shows(GREEN)
        session.point(WIDTH - 20, 20)
        for button in (1, 2, 4, 5):
            session.press(button)
        await until(lambda: len(installed.called()) >= 4, "the clicks", PATIENCE_S)
        assert set(installed.called()) == {"inbox open", "pause --toggle", "pause 1h", "resume"}
        # GTK says so if it is given markup that is none, be it in the bar or in the tooltip under the pointer.
        assert not re.findall(r"(?i).*(?:markup|parse|json|\[error\]).*", log.read_text())

        process.kill()
        await until(lambda: all(map(has_ended, installed.followers())), "the end of what waybar started", PATIENCE_S)


class I3blocks:
    """i3blocks as i3bar runs it."""

    def __init__(self, folder: Path, config: str, path: str) -> None:
        (folder / "config").write_text(config)
        self._lines = folder / "lines"
        with self._lines.open("wb") as lines:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "i3blocks", "-c", str(folder / "config")],
                stdin=subprocess.PIPE,
                stdout=lines,
                env={**os.environ, "PATH": path},
            )

    def shows(self, text: str, *, is_urgent: bool) -> bool:
        """Whether the newest line that is whole says this, for i3bar."""
        whole = self._lines.read_text().rpartition("\n")[0].splitlines()
        if not whole or not (blocks := json.loads(whole[-1].lstrip(",") if whole[-1] != "[" else "[]")):
            return False
        block = blocks[-1]
        return (block["full_text"], block.get("urgent", False)) == (text, is_urgent)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


async def test_i3blocks_shows_every_state_and_ends_what_it_started(
    daemon: FakeDaemon, installed: Installed, tmp_path: Path
) -> None:
    i3blocks = I3blocks(tmp_path, snippet("i3blocks"), installed.path)
    try:
        await until(installed.followers, "the command in i3blocks", PATIENCE_S)
        for summary, text, is_urgent in (
            (UNREAD, "3", False),
            (HIGHLIGHT, "3 @1", True),
            (QUIET, "z3", False),
            (OFFLINE, "!", False),
            (NONE, "", False),
        ):
            daemon.publish(summary)
            shows = partial(i3blocks.shows, text, is_urgent=is_urgent)
            await until(shows, f"{text!r} in i3blocks", PATIENCE_S)
    finally:
        i3blocks.end()
    await until(lambda: all(map(has_ended, installed.followers())), "the end of what i3blocks started", PATIENCE_S)
