"""The item in the desktop's tray."""

from __future__ import annotations

from desktops.desktop import TRAY_RED
from desktops.machine import HOME
from desktops.scene import Scene
from desktops.sight import find_colour

_SETTINGS = HOME / ".config/heliograph/config.toml"
_LEAST = 12
"""Pixels of a number on a small icon."""


async def tray(scene: Scene) -> None:
    """It is switched on without a restart, found by a tray that comes later, seen when there is a mention and not when
    there is nothing, and its menu marks all as read."""
    await _switch(scene, is_on=True)
    try:
        await scene.desktop.restart_tray()

        async def is_there() -> bool:
            status = await scene.machine.status()
            return bool(status["desktop"]["tray"] == "in the tray")

        async def is_seen() -> bool:
            return await _is_seen(scene)

        async def is_hidden() -> bool:
            return not await _is_seen(scene)

        await scene.until_true(is_there, "the tray does not take the item")
        await scene.until_true(is_hidden, "it is seen, and there is nothing to tell")
        await scene.write("Bob", "Me: look at the tray", mentions=[scene.me])
        await scene.until_true(is_seen, "it is not seen, and there is a mention")
        await scene.picture()
        await scene.desktop.choose_in_tray("Mark all as read")
        await scene.until_true(lambda: scene.is_read(scene.lunch), "Mark all as read was chosen, and it is not read")
        await scene.until_true(is_hidden, "it is still seen, and all is read")
    finally:
        if not scene.desktop.keeps_tray:
            await scene.desktop.end_tray()
        await _switch(scene, is_on=False)


async def _is_seen(scene: Scene) -> bool:
    area = scene.desktop.tray_area
    assert area is not None
    picture = scene.machine.shared / "tray.png"
    await scene.desktop.take_picture(picture)
    return find_colour(picture, TRAY_RED, area, _LEAST) is not None


async def _switch(scene: Scene, *, is_on: bool) -> None:
    await scene.machine.write(_SETTINGS, f"[desktop]\ntray = {str(is_on).lower()}\n")
    await scene.machine.user("systemctl", "--user", "reload", "heliograph.service")


TRAY = {"tray": tray}
