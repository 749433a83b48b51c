"""KDE Plasma on X11: plasmashell, KWin and the screen locker."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from desktops.machine import NOTIFICATIONS, PATIENCE_S, Machine
from desktops.sight import read_picture
from desktops.x11 import X11Desktop
from support.waiting import until

_BELL = """\
var bell = panels()[0].addWidget("org.kde.plasma.notifications");
bell.globalShortcut = "Ctrl+Alt+N";
"""
_BELL_KEY = "ctrl+alt+n"
# The wallpaper would be taken for words.
_WALLPAPER = """\
desktops().forEach(each => {
    each.wallpaperPlugin = "org.kde.color";
    each.currentConfigGroup = ["Wallpaper", "org.kde.color", "General"];
    each.writeConfig("Color", "75,88,114");
});
panels().forEach(panel => panel.widgets(["org.kde.plasma.digitalclock"]).forEach(clock => clock.remove()));
"""
_BROOM = 1252
"""Where the button is that clears the history, in the line of that switch."""
_POPUP_MS = 12_000
_SERVER = f"{NOTIFICATIONS} /org/freedesktop/Notifications {NOTIFICATIONS}"
_RULES = "plasmanotifyrc"


class Plasma(X11Desktop):
    """The list is its history, behind the bell in the panel."""

    name = "plasma"
    takes_text = True
    # Above the panel, whose bell rings.
    area = (0, 0, 1280, 748)
    cross = (15, 15)
    tray_area = (0, 748, 1280, 800)

    def __init__(self, machine: Machine, version: int) -> None:
        super().__init__(machine)
        self._number = version
        self.environment = {
            **super().environment,
            **{"QT_QPA_PLATFORM": "xcb", "XDG_CURRENT_DESKTOP": "KDE", "KDE_FULL_SESSION": "true"},
            **{"KDE_SESSION_VERSION": str(version), "QT_QUICK_BACKEND": "software", "LIBGL_ALWAYS_SOFTWARE": "1"},
            **{"XDG_MENU_PREFIX": "plasma-", "XDG_CONFIG_DIRS": "/etc/xdg", "XDG_SESSION_DESKTOP": "KDE"},
        }

    @property
    def units(self) -> Mapping[str, str]:
        return {
            "kwin": "kwin_x11 --replace",
            "keys": "kglobalaccel5" if self._number == 5 else "$(ls /usr/lib/*/libexec/kglobalacceld)",
            "kded": f"kded{self._number}",
            "locker": "ksmserver",
            "shell": "plasmashell --no-respawn",
        }

    async def start(self) -> None:
        # Instead of 5 s, so that they can be read in time on a machine that is slow.
        timeout = ("--group", "Notifications", "--key", "PopupTimeout", str(_POPUP_MS))
        await self.machine.user(f"kwriteconfig{self._number}", "--file", _RULES, *timeout)
        await super().start()
        for script in (_WALLPAPER, _BELL):
            await self._script(script)
        await asyncio.sleep(3)
        await self.note_empty()

    async def version(self) -> str:
        told = await self.machine.user("plasmashell", "--version")
        return f"Plasma {told.split()[-1]}"

    async def kept(self) -> str:
        await self.key(_BELL_KEY)
        await asyncio.sleep(2)
        seen = await self.look()
        await self.key("Escape")
        await asyncio.sleep(1)
        return seen.text

    async def type_reply(self, text: str) -> None:
        await self.press("Reply")
        await asyncio.sleep(1)
        await self.type(text)
        await self.key("Return")

    async def clear(self) -> None:
        await self.key(_BELL_KEY)
        await asyncio.sleep(1)
        if (place := (await self.look()).find("Do not disturb")) is not None:
            await self.click(_BROOM, place[1])
            await asyncio.sleep(0.5)
        await self.key("Escape")

    async def set_locked(self, *, is_locked: bool) -> None:
        await self.run(f"loginctl {'lock' if is_locked else 'unlock'}-session $XDG_SESSION_ID")
        saver = "org.freedesktop.ScreenSaver /org/freedesktop/ScreenSaver org.freedesktop.ScreenSaver"

        async def is_so() -> bool:
            return str(is_locked).lower() in await self.run(f"busctl --user call {saver} GetActive")

        await until(is_so, "the lock", PATIENCE_S)
        await asyncio.sleep(2)

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        words = (
            f"kwriteconfig{self._number}",
            "--notify",
            "--file",
            _RULES,
            "--group",
            "DoNotDisturb",
            "--key",
            "Until",
        )
        minutes = itertools.count()

        async def is_so() -> bool:
            # Again, since what follows upon another change at once is not always heard of; and what is written twice
            # is no change.
            await self.machine.user(*words, f"{2099 if is_on else 2000},1,1,0,{next(minutes)},0")
            await asyncio.sleep(1)
            return str(is_on).lower() in await self.run(f"busctl --user get-property {_SERVER} Inhibited")

        await until(is_so, "do-not-disturb", PATIENCE_S)

    async def names_in_settings(self) -> str:
        """As its page shows them, which is opened for that."""
        settings = ("systemsettings5" if self._number == 5 else "systemsettings", "kcm_notifications")
        await self.machine.spawn("settings", *settings)
        picture = self.machine.shared / "settings.png"
        await asyncio.sleep(8)
        await self.take_picture(picture)
        first = (await read_picture(self.machine, picture)).text
        if (place := (await read_picture(self.machine, picture)).find("Configure")) is not None:
            await self.click(*place)
            await asyncio.sleep(3)
            await self.take_picture(picture)
            first += " " + (await read_picture(self.machine, picture)).text
        await self.machine.end("settings")
        await asyncio.sleep(2)
        return first

    async def _script(self, script: str) -> None:
        words = ("org.kde.plasmashell", "/PlasmaShell", "org.kde.PlasmaShell", "evaluateScript", "s", script)
        await self.machine.user("busctl", "--user", "call", *words)
