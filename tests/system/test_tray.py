"""A real tray: waybar's, in sway, with the item of a daemon's control side."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph.control.tray.tray import Tray
from heliograph.core.summary.summary import RoomCount, Summary
from heliograph.core.tray.drawing import LOOKS
from heliograph.core.tray.menu import Command, CommandKind
from heliograph.core.tray.situation import TraySituation
from support.builders import ME, ROOM
from support.buses import PrivateBus
from support.sway import WIDTH, Colour, SwaySession
from support.waiting import until
from system.evidence import PATIENCE_S

WELL = Summary("connected", ((ME, "connected"),))
NEWS = Summary("connected", ((ME, "connected"),), (), 8, 0, (RoomCount(ME, ROOM, "<b>& Lunch", 8, 0),))
MENTION = Summary("connected", ((ME, "connected"),), (), 8, 1, (RoomCount(ME, ROOM, "<b>& Lunch", 8, 1),))
WHITE, RED = (255, 255, 255), (192, 28, 40)
_CONFIG = {
    **{"layer": "top", "position": "top", "height": 64, "modules-right": ["tray"]},
    # As large as the largest icon, so that its colours are as they were drawn.
    "tray": {"icon-size": 64},
}
_STYLE = "* { font-family: DejaVu Sans; min-height: 0; } window#waybar { background: #000000; }"


class Waybar:
    """waybar with nothing but a tray, and what was clicked in it."""

    def __init__(self, session: SwaySession, bus: PrivateBus, folder: Path) -> None:
        (folder / "config").write_text(json.dumps(_CONFIG))
        (folder / "style.css").write_text(_STYLE)
        self.session = session
        self.log = folder / "waybar.log"
        self._words = ("-c", str(folder / "config"), "-s", str(folder / "style.css"))
        self._environ = {"DBUS_SESSION_BUS_ADDRESS": bus.address}
        self.asked: list[Command] = []
        self.item = Tray(
            bus.address, LOOKS["light"], lambda command, _: self.asked.append(command), TraySituation(WELL)
        )
        self.start()

    def start(self) -> None:
        self._process = self.session.spawn("waybar", *self._words, log=self.log, environ=self._environ)

    def restart(self) -> None:
        self.session.end(self._process)
        self.start()

    def show(self, summary: Summary) -> None:
        self.item.take(TraySituation(summary))

    async def shows(self, colour: Colour) -> None:
        """Returns when the icon has that colour in more pixels than the edges of a number have."""
        await until(lambda: self.session.colours()[colour] > 100, f"{colour} in the tray", PATIENCE_S)

    async def hides(self) -> None:
        await until(lambda: set(self.session.colours()) <= self._empty, "an empty tray", PATIENCE_S)

    @property
    def _empty(self) -> set[Colour]:
        """The colours of the bar, and of what is behind it."""
        return {(0, 0, 0), (0, 0, 255)}


@pytest.fixture
async def waybar(private_bus: PrivateBus, tmp_path: Path) -> AsyncIterator[Waybar]:
    with SwaySession("#0000ff") as session:
        waybar = Waybar(session, private_bus, tmp_path)
        await waybar.item.start()
        yield waybar
        await waybar.item.stop()


async def test_waybar_shows_the_item_takes_clicks_and_has_it_again_after_a_restart(waybar: Waybar) -> None:
    await until(lambda: waybar.item.state == "in the tray", "waybar's tray", PATIENCE_S)
    await waybar.hides()
    waybar.show(NEWS)
    await waybar.shows(WHITE)
    waybar.show(MENTION)
    await waybar.shows(RED)
    waybar.session.point(WIDTH - 32, 32)
    for button, command in ((1, Command(CommandKind.OPEN, ME, ROOM)), (2, Command(CommandKind.PAUSE))):
        waybar.session.press(button)
        await until(lambda: waybar.asked, "the click", PATIENCE_S)
        assert waybar.asked == [command]
        waybar.asked.clear()
    waybar.session.point(1, 250)
    waybar.restart()
    await waybar.shows(RED)
    waybar.show(WELL)
    await waybar.hides()
    # GTK says so if a tooltip is no markup, and libdbusmenu if the menu is none.
    assert "arkup" not in waybar.log.read_text()
    assert "dbusmenu" not in waybar.log.read_text().lower()
