"""Takes the picture of a message for the README, end to end: a real homeserver, the daemon, dunst.

PYTHONPATH=daemon:tests python tests/system/screenshot.py FILE.png
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from buses import PrivateBus
from dunst import DunstSession
from heliograph.demo.homeserver import ThrowawaySynapse
from system.daemon import Daemon, sign_in
from waiting import until

AREA = "480x128+788+12"
TEXT = "Noodles at noon? The place by the river\nhas <outdoor> seats again & shade."
_LOOK = """
[global]
    width = 440
    padding = 16
    horizontal_padding = 18
    text_icon_padding = 18
    frame_width = 1
    frame_color = "#4c566a"
    corner_radius = 0
    format = "<b>%s</b>\\n%b"
    line_height = 3
    min_icon_size = 52
    max_icon_size = 52
    show_indicators = no
[urgency_low]
    background = "#2b303b"
    foreground = "#eceff4"
[urgency_normal]
    background = "#2b303b"
    foreground = "#eceff4"
"""


async def take(path: Path) -> None:
    """Lets Alice write in a room, and writes what the screen shows then."""
    async with ThrowawaySynapse(progress=print) as synapse:
        me, alice = await synapse.register("me"), await synapse.register("alice")
        await alice.set_display_name("Alice")
        room = await alice.create_room("Lunch", invite=[me])
        await me.join(room)
        await sign_in(me)
        with PrivateBus() as bus, DunstSession(bus, _LOOK) as session:
            os.environ["DBUS_SESSION_BUS_ADDRESS"] = bus.address
            async with Daemon():
                await alice.send_text(room, TEXT, mentions=[me])
                await until(lambda: session.count() == 1, "the popup")
                await asyncio.sleep(0.3)  # until it is painted
                session.screenshot(path, AREA)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            os.environ[name] = home
        asyncio.run(take(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
