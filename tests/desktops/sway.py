"""sway, in a window of a virtual X display, and swaync in that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from desktops.machine import HOME
from desktops.x11 import X11Desktop

_CONFIG = """\
output X11-1 resolution 1280x800
output X11-1 background #4b5872 solid_color
xwayland disable
"""

_BAR = """\
{"layer": "top", "position": "top", "height": 32, "modules-right": ["tray"], "tray": {"icon-size": 28}}
"""


class SwayDesktop(X11Desktop):
    """sway in a window of the X display."""

    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"WLR_BACKENDS": "x11", "WLR_RENDERER": "pixman", "WLR_LIBINPUT_NO_DEVICES": "1", "GSK_RENDERER": "cairo"},
        **{"WAYLAND_DISPLAY": "wayland-1", "XDG_CURRENT_DESKTOP": "sway", "GDK_BACKEND": "wayland"},
    }

    @property
    def units(self) -> Mapping[str, str]:
        return {"sway": f"sway -c {HOME}/sway.conf"}

    async def start(self) -> None:
        await self.machine.write(HOME / "sway.conf", _CONFIG)
        await super().start()


class Swaync(SwayDesktop):
    """Its default configuration. The list is its control centre."""

    name = "swaync"
    folds_list = True
    tray_area = (0, 0, 1280, 40)
    keeps_tray = False
    left_out: Mapping[str, str] = {"in-settings": "it has no settings for programs but its configuration file"}

    @property
    def units(self) -> Mapping[str, str]:
        return {**super().units, "swaync": "swaync"}

    async def restart_tray(self) -> None:
        """waybar, which comes with no desktop: only for that."""
        await self.machine.write(HOME / "waybar.json", _BAR)
        await self.machine.spawn("bar", "waybar", "--config", str(HOME / "waybar.json"))

    async def end_tray(self) -> None:
        await self.machine.end("bar")

    async def version(self) -> str:
        told = await self.run("swaync --version")
        return f"swaync {told.split()[-1]}"

    async def kept(self) -> str:
        await self.run("swaync-client --open-panel --skip-wait")
        await asyncio.sleep(2)
        seen = await self.look()
        await self.run("swaync-client --close-panel --skip-wait")
        await asyncio.sleep(1)
        return seen.text

    async def clear(self) -> None:
        await self.run("swaync-client --close-all --skip-wait; swaync-client --close-panel --skip-wait")
        await asyncio.sleep(1)

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self.run(f"swaync-client --dnd-{'on' if is_on else 'off'} --skip-wait")
