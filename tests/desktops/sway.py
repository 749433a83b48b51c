"""swaync in sway, which runs in a window of a virtual X display."""

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


class Swaync(X11Desktop):
    """Its default configuration. The list is its control centre."""

    name = "swaync"
    folds_list = True
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"WLR_BACKENDS": "x11", "WLR_RENDERER": "pixman", "WLR_LIBINPUT_NO_DEVICES": "1", "GSK_RENDERER": "cairo"},
        **{"WAYLAND_DISPLAY": "wayland-1", "XDG_CURRENT_DESKTOP": "sway", "GDK_BACKEND": "wayland"},
    }
    left_out: Mapping[str, str] = {"in-settings": "it has no settings for programs but its configuration file"}

    @property
    def units(self) -> Mapping[str, str]:
        return {"sway": f"sway -c {HOME}/sway.conf", "swaync": "swaync"}

    async def start(self) -> None:
        await self.machine.write(HOME / "sway.conf", _CONFIG)
        await super().start()

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
