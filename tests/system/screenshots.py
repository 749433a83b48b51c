"""Takes the README's pictures, end to end: a real homeserver, the daemon, swaync and waybar in sway.

PYTHONPATH=daemon:tests python tests/system/screenshots.py FOLDER

Needs what the tests need, and Debian's package sway-notification-center.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from documentation.pages import read_page
from fakes.login1 import FakeLogind
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.guarded_synapse import GuardedSynapse
from support.log_guard import guarded
from support.sway import SwaySession
from support.waiting import until
from system.daemon import Daemon, sign_in

BACKGROUND = "#4b5872"
_MARGIN = 16
_BAR_STYLE = """\
* { font-family: DejaVu Sans; font-size: 15px; min-height: 0; border: none; }
window#waybar { background: #20242c; color: #eceff4; }
#clock, #custom-heliograph { padding: 0 14px; }
#custom-heliograph.highlight { background: #a3484f; }
tooltip { background: #20242c; border: 1px solid #56607a; border-radius: 6px; }
tooltip label { color: #eceff4; padding: 4px; }
"""
_SWAYNC = {
    **{"positionX": "right", "positionY": "top", "timeout": 0, "timeout-low": 0},
    **{"notification-window-width": 440, "notification-icon-size": 56},
}
_SWAYNC_STYLE = """\
@import url("/etc/xdg/swaync/style.css");
* { font-family: DejaVu Sans; }
image { -gtk-icon-shadow: none; border-radius: 6px; }
"""


class Studio:
    """Who writes, where it is seen, and into which folder pictures of it go."""

    def __init__(self, folder: Path, synapse: ThrowawaySynapse, session: SwaySession, logind: FakeLogind) -> None:
        self.folder = folder
        self.session = session
        self.logind = logind
        self._synapse = synapse
        self.users: dict[str, DemoUser] = {}
        self._colours: dict[str, tuple[int, int, int]] = {}

    async def add(self, name: str, colour: str) -> DemoUser:
        """A user with this display name, and a picture in this colour."""
        user = await self._synapse.register(name.lower())
        self.users[name] = user
        self._colours[name] = (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16))
        await user.set_display_name(name)
        uri = await _upload(user, _draw_avatar(name[0], colour))
        await user.call("PUT", f"/profile/{user.user_id}/avatar_url", {"avatar_url": uri})
        return user

    async def room(self, name: str | None, *members: str, is_direct: bool = False) -> str:
        """Made by the last of its members."""
        *guests, host = [self.users[member] for member in members]
        room = await host.create_room(name, invite=guests, is_direct=is_direct)
        for guest in guests:
            await guest.join(room)
        return room

    async def take(self, name: str, sender: str, cause: Callable[[], Awaitable[object]]) -> None:
        """Lets it happen, waits for the sender's picture, and takes ours. The screen is empty afterwards."""
        await cause()
        await until(lambda: self.session.colours().get(self._colours[sender], 0) > 500, name)
        await asyncio.sleep(1)  # until nothing moves any more
        self.save(name)
        await asyncio.to_thread(self._clear)

    async def fetch_pictures(self) -> None:
        """Everybody says hello: a notification waits only briefly for a picture that was never seen before."""
        names = list(self.users)
        hall = await self.room("Hall", *names)
        for name in names[1:]:
            hello = await self.users[name].send_text(hall, "Hello")
        await asyncio.sleep(4)
        await self.users[names[0]].read(hall, hello)
        await asyncio.sleep(1)

    def save(self, name: str) -> None:
        """What is on the screen, without what is empty around it."""
        path = self.folder / f"{name}.png"
        self.session.screenshot(path)
        border = ["-bordercolor", BACKGROUND, "-border", str(_MARGIN)]
        _run("convert", str(path), "-trim", "+repage", *border, "-strip", "+dither", "-colors", "255", str(path))

    def _clear(self) -> None:
        _run("swaync-client", "--close-all", environ=self.session.environ)


async def _upload(user: DemoUser, picture: bytes) -> str:
    headers = {"Authorization": f"Bearer {user.access_token}", "Content-Type": "image/png"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{user.base_url}/_matrix/media/v3/upload", data=picture) as response,
    ):
        return str((await response.json())["content_uri"])


def _draw_avatar(letter: str, colour: str) -> bytes:
    words = ["-size", "96x96", f"xc:{colour}", "-font", "DejaVu-Sans-Bold", "-pointsize", "52", "-fill", "white"]
    return _run("convert", *words, "-gravity", "center", "-annotate", "+0+0", letter, "png:-")


def _run(*command: str, environ: dict[str, str] | None = None) -> bytes:
    return subprocess.run(command, check=True, env=environ, stdout=subprocess.PIPE, timeout=30).stdout


async def _take_all(studio: Studio) -> None:
    me = await studio.add("Me", "#5e81ac")
    for name, colour in (("Alice", "#b5577d"), ("Bob", "#4d7f5c"), ("Carol", "#b4783c"), ("Dave", "#6d5fa8")):
        await studio.add(name, colour)
    alice, bob, carol, dave = (studio.users[name] for name in ("Alice", "Bob", "Carol", "Dave"))
    direct = await studio.room(None, "Me", "Alice", is_direct=True)
    lunch = await studio.room("Lunch", "Me", "Bob", "Carol", "Alice")
    await sign_in(me)
    async with Daemon():
        await studio.fetch_pictures()
        await studio.take(
            "message", "Alice", lambda: alice.send_text(direct, "Noodles at noon? The place by the river is open.")
        )

        async def talk() -> None:
            await bob.send_text(lunch, "Pizza or noodles today?")
            await carol.send_text(lunch, "Noodles, always")
            await alice.send_text(lunch, "Me: are you coming, too?", mentions=[me])

        await studio.take("group", "Alice", talk)
        await studio.take("invite", "Dave", lambda: dave.create_room("Weekend hike", invite=[me]))
        studio.logind.lock()
        await studio.take("privacy", "Alice", lambda: alice.send_text(direct, "The door code is 4711"))
        studio.logind.unlock()
        await _take_bar(studio)


async def _take_bar(studio: Studio) -> None:
    snippet = "\n".join(read_page("docs/status-bars.md").blocks("waybar")[0])
    home = Path(os.environ["HOME"])
    bar = {"height": 34, "modules-left": ["clock"], "modules-right": ["custom/heliograph"]}
    clock = {"clock": {"format": "{:%A %H:%M}"}}
    (home / "waybar").write_text(json.dumps({**bar, **clock, **json.loads("{" + snippet + "}")}))
    (home / "style.css").write_text(_BAR_STYLE)
    # As it is installed: beside the Python that runs this.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = ("-c", str(home / "waybar"), "-s", str(home / "style.css"))
    studio.session.spawn("waybar", *words, log=home / "waybar.log", environ={"PATH": path})
    await asyncio.sleep(4)
    studio.session.point(778, 17)
    await asyncio.sleep(2)
    studio.save("bar")


async def take(folder: Path) -> None:
    """All of them."""
    home = Path(os.environ["HOME"])
    with PrivateBus() as bus, PrivateBus() as system_bus, SwaySession(BACKGROUND) as session:
        os.environ |= {"DBUS_SESSION_BUS_ADDRESS": bus.address, "DBUS_SYSTEM_BUS_ADDRESS": system_bus.address}
        logind = FakeLogind(system_bus.address)
        await logind.start()
        (home / "swaync.json").write_text(json.dumps(_SWAYNC))
        (home / "swaync.css").write_text(_SWAYNC_STYLE)
        words = ("-c", str(home / "swaync.json"), "-s", str(home / "swaync.css"))
        session.spawn("swaync", *words, log=home / "swaync.log")
        async with GuardedSynapse(progress=print) as synapse:
            await _take_all(Studio(folder, synapse, session, logind))
        await logind.stop()


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
            os.environ[name] = home
        with guarded() as guard:
            guard.expect("Sounds cannot be played: install", times=(0, 1))
            asyncio.run(take(Path(sys.argv[1]).absolute()))


if __name__ == "__main__":
    main()
