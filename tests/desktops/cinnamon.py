"""Cinnamon on X11, which tells what its list of notifications holds: org.Cinnamon.Eval."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from desktops.x11 import X11Desktop

_APPLET = "imports.ui.appletManager.getRunningInstancesForUuid('notifications@cinnamon.org')[0]"
_TEXT = "`${each.title}\\n${each._bodyUrlHighlighter?.actor?.text ?? ''}`"
_LIST = f"{_APPLET}.notifications.map(each => {_TEXT}).join('\\n\\n')"
_CLEAR = f"{_APPLET}._clear_all(); 0"
_SETTINGS = "org.cinnamon.desktop.notifications"


class Cinnamon(X11Desktop):
    """The list is that of its applet."""

    name = "cinnamon"
    # Above the panel, whose clock and counter change.
    area = (0, 0, 1280, 756)
    tray_area = (0, 760, 1280, 800)
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "X-Cinnamon", "GDK_BACKEND": "x11", "LIBGL_ALWAYS_SOFTWARE": "1"},
        **{"CINNAMON_2D": "1", "NO_AT_BRIDGE": "1"},
    }

    oddities: Mapping[str, str] = {
        "edit-then-news": "it brings up again whatever replaces a notification",
        "call-in-do-not-disturb": "its switch holds back everything",
    }
    left_out: Mapping[str, str] = {"in-settings": "its settings list no programs"}

    @property
    def units(self) -> Mapping[str, str]:
        # By the type of the session, which is none of X11, it would choose Wayland; before 6 it knew X11 alone.
        return {"cinnamon": "cinnamon $(cinnamon --help | grep -o -m 1 -e --x11) --replace"}

    async def version(self) -> str:
        return (await self.run("cinnamon --version")).strip()

    async def kept(self) -> str:
        return str(await self._eval(_LIST))

    async def clear(self) -> None:
        await self._eval(_CLEAR)

    async def dismiss(self) -> None:
        # DISMISSED; what its cross is for.
        await self._eval("imports.ui.main.messageTray._notification.destroy(2); 0")

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self.run(f"gsettings set {_SETTINGS} display-notifications {str(not is_on).lower()}")

    async def names_in_settings(self) -> str:
        return await self.run("gsettings list-recursively org.cinnamon.desktop.notifications")

    async def _eval(self, script: str) -> Any:
        words = ("org.Cinnamon", "/org/Cinnamon", "org.Cinnamon", "Eval", "s", script)
        told = await self.machine.user("busctl", "--user", "--json=short", "call", *words)
        is_done, answer = json.loads(told)["data"]
        assert is_done, f"Cinnamon said: {answer}"
        return json.loads(answer) if answer else None
