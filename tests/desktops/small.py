"""Notification servers of X11, each with its window manager and no panel: those of LXQt, MATE, Xfce and Budgie."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from desktops.machine import HOME
from desktops.x11 import X11Desktop

_LIBRARIES = "/usr/lib/$(uname -m)-linux-gnu"
_NO_PANEL = "its panel is not booted here"
_BUDGIE = "org.budgie_desktop.Notifications /org/budgie_desktop/Notifications org.buddiesofbudgie.budgie.Dispatcher"


class BareServer(X11Desktop):
    """It keeps no list, or one that its panel shows, and has no command that closes all."""

    has_list = False

    async def clear(self) -> None:
        if (await self.look()).box is not None:
            await self.restart_server()


class Lxqt(BareServer):
    name = "lxqt"
    opening = "Open"
    marking = "Read"
    oddities: Mapping[str, str] = {"call-in-do-not-disturb": "while it does not disturb it shows nothing"}
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "LXQt", "QT_QPA_PLATFORM": "xcb", "QT_QUICK_BACKEND": "software"},
    }
    left_out: Mapping[str, str] = {"in-settings": "its settings list no programs", "tray": _NO_PANEL}

    @property
    def units(self) -> Mapping[str, str]:
        return {"manager": "openbox", "server": "lxqt-notificationd"}

    async def version(self) -> str:
        return await package_version(self, "lxqt-notificationd")

    async def start(self) -> None:
        # It follows the changes of a file that is there.
        await self._configure(do_not_disturb=False)
        await super().start()

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self._configure(do_not_disturb=is_on)
        # It waits for a second whether the file changes again.
        await asyncio.sleep(2)

    async def _configure(self, *, do_not_disturb: bool) -> None:
        text = f"[General]\ndoNotDisturb={str(do_not_disturb).lower()}\n"
        await self.machine.write(HOME / ".config/lxqt/notifications.conf", text)


class Mate(BareServer):
    name = "mate"
    oddities: Mapping[str, str] = {"call-in-do-not-disturb": "while it does not disturb it shows nothing"}
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "MATE", "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"},
    }
    left_out: Mapping[str, str] = {"in-settings": "its settings list no programs", "tray": _NO_PANEL}

    @property
    def units(self) -> Mapping[str, str]:
        return {"manager": "marco --no-composite", "server": _find("mate-notification-daemon/mate-notification-daemon")}

    async def version(self) -> str:
        return await package_version(self, "mate-notification-daemon")

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self.run(f"gsettings set org.mate.NotificationDaemon do-not-disturb {str(is_on).lower()}")


class Xfce(BareServer):
    name = "xfce"
    opening = "Open"
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "XFCE", "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"},
    }
    tray_area = (0, 0, 1280, 60)
    keeps_tray = False

    @property
    def units(self) -> Mapping[str, str]:
        return {
            "manager": "xfwm4",
            "settings": _find("xfce4/xfconf/xfconfd"),
            "server": _find("xfce4/notifyd/xfce4-notifyd"),
        }

    async def start(self) -> None:
        await super().start()
        # So that they can be read in time on a machine that is slow.
        await self._configure("/expire-timeout", "int", "10")

    async def version(self) -> str:
        return await package_version(self, "xfce4-notifyd")

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self._configure("/do-not-disturb", "bool", str(is_on).lower())

    async def restart_tray(self) -> None:
        """Only for that: its clock changes the screen."""
        await self.machine.spawn("panel", "xfce4-panel")

    async def end_tray(self) -> None:
        await self.machine.end("panel")

    async def names_in_settings(self) -> str:
        return await self.run("xfconf-query --channel xfce4-notifyd --property /applications/known_applications")

    async def _configure(self, name: str, kind: str, value: str) -> None:
        words = f"--channel xfce4-notifyd --property {name} --create --type {kind} --set {value}"
        await self.run(f"xfconf-query {words}")


class Budgie(BareServer):
    name = "budgie"
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "Budgie:GNOME", "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"},
        **{"LIBGL_ALWAYS_SOFTWARE": "1"},
    }
    left_out: Mapping[str, str] = {"in-settings": "its settings list no programs", "tray": _NO_PANEL}
    oddities: Mapping[str, str] = {
        "many-rooms": "it shows three popups at once, and the rest in its panel's list alone",
        "call-in-do-not-disturb": "while it does not disturb it shows nothing",
    }

    @property
    def units(self) -> Mapping[str, str]:
        return {"manager": "budgie-wm", "server": "budgie-daemon"}

    async def start(self) -> None:
        # A photograph would be taken for words.
        for key, value in (("picture-options", "none"), ("primary-color", "#4b5872")):
            await self.run(f"gsettings set org.gnome.desktop.background {key} '{value}'")
        await super().start()

    async def version(self) -> str:
        return (await package_version(self, "budgie-core")).replace("budgie-core", "Budgie")

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        """By its one method for that, which turns it into the other state."""
        if str(is_on).lower() not in await self.run(f"busctl --user call {_BUDGIE} GetDoNotDisturb"):
            await self.run(f"busctl --user call {_BUDGIE} ToggleDoNotDisturb")


def _find(program: str) -> str:
    """It lies beside libraries, wherever this Debian has them."""
    return f"$(ls {_LIBRARIES}/{program} /usr/lib/{program} /usr/libexec/{program} 2>/dev/null | head -1)"


async def package_version(desktop: X11Desktop, package: str) -> str:
    told = await desktop.run(f"dpkg-query --show --showformat '${{Version}}' {package}")
    return f"{package} {told.split('-')[0]}"
