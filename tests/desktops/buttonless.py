"""Notification servers that draw no buttons: the user chooses in a menu of theirs. mako in sway, dunst on X11."""

from __future__ import annotations

import json
from collections.abc import Mapping

from desktops.desktop import Wrong
from desktops.machine import HOME, NOTIFICATIONS
from desktops.small import package_version
from desktops.sway import SwayDesktop
from desktops.x11 import X11Desktop

_NO_SETTINGS = "its settings are one file, which lists no programs"
_NO_TRAY = "it comes with no tray"
_MAKO = "default-timeout=10000\n[mode=do-not-disturb]\ninvisible=1\n"
_LIST = f"busctl --user --json=short call {NOTIFICATIONS} /fr/emersion/Mako fr.emersion.Mako ListNotifications"
_MENU = HOME / "menu"
_WANTED = HOME / "wanted"
_DUNST = f"""\
[global]
    markup = full
    dmenu = {_MENU}
    mouse_left_click = close_current
[urgency_low]
    timeout = 10
[urgency_normal]
    timeout = 10
"""
_CHOOSE = f"""\
#!/bin/sh
grep -F "$(cat {_WANTED})" | head -n 1
"""


class Mako(SwayDesktop):
    name = "mako"
    draws_buttons = False
    has_list = False
    left_out: Mapping[str, str] = {"in-settings": _NO_SETTINGS, "tray": _NO_TRAY}
    oddities: Mapping[str, str] = {"call-in-do-not-disturb": "the mode of its manual hides everything"}

    @property
    def units(self) -> Mapping[str, str]:
        return {**super().units, "mako": "mako"}

    async def start(self) -> None:
        await self.machine.write(HOME / ".config/mako/config", _MAKO)
        await super().start()

    async def version(self) -> str:
        return await package_version(self, "mako-notifier")

    async def press(self, label: str) -> None:
        """As in `makoctl menu`."""
        for entry in [each for group in json.loads(await self.run(_LIST))["data"] for each in group]:
            for key, shown in entry["actions"]["data"].items():
                if shown == label:
                    await self.run(f"makoctl invoke -n {entry['id']['data']} {key}")
                    return
        raise Wrong(f"there is no action {label!r}")

    async def dismiss(self) -> None:
        await self.run("makoctl dismiss")

    async def clear(self) -> None:
        await self.run("makoctl dismiss --all")

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self.run(f"makoctl mode -{'a' if is_on else 'r'} do-not-disturb")


class Dunst(X11Desktop):
    name = "dunst"
    draws_buttons = False
    has_list = False
    left_out: Mapping[str, str] = {"in-settings": _NO_SETTINGS, "tray": _NO_TRAY}
    oddities: Mapping[str, str] = {"call-in-do-not-disturb": "while it is paused nothing comes up"}

    @property
    def units(self) -> Mapping[str, str]:
        return {"manager": "openbox", "server": "dunst"}

    async def start(self) -> None:
        await self.machine.write(HOME / ".config/dunst/dunstrc", _DUNST)
        await self.machine.write(_MENU, _CHOOSE)
        await self.machine.user("chmod", "+x", str(_MENU))
        await super().start()

    async def version(self) -> str:
        return await package_version(self, "dunst")

    async def press(self, label: str) -> None:
        """In the menu, which is opened for that."""
        await self.machine.write(_WANTED, label)
        await self.run("dunstctl context")

    async def dismiss(self) -> None:
        await self.run("dunstctl close")

    async def clear(self) -> None:
        await self.run("dunstctl close-all")

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self.run(f"dunstctl set-paused {str(is_on).lower()}")
