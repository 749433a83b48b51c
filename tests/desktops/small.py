"""Notification servers of X11 that come without a shell: those of LXQt, MATE and Xfce, each with its window manager."""

from __future__ import annotations

from collections.abc import Mapping

from desktops.machine import HOME
from desktops.x11 import X11Desktop

_LIBRARIES = "/usr/lib/$(uname -m)-linux-gnu"


_NO_PANEL = "its panel is not booted here"


class Lxqt(X11Desktop):
    name = "lxqt"
    opening = "Open"
    marking = "Read"
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "LXQt", "QT_QPA_PLATFORM": "xcb", "QT_QUICK_BACKEND": "software"},
    }
    has_list = False
    left_out: Mapping[str, str] = {"in-settings": "its settings list no programs", "tray": _NO_PANEL}

    @property
    def units(self) -> Mapping[str, str]:
        return {"manager": "openbox", "server": "lxqt-notificationd"}

    async def version(self) -> str:
        return await package_version(self, "lxqt-notificationd")

    async def clear(self) -> None:
        await self.restart_server()

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        text = f"[General]\ndoNotDisturb={str(is_on).lower()}\n"
        await self.machine.write(HOME / ".config/lxqt/notifications.conf", text)


class Mate(X11Desktop):
    name = "mate"
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "MATE", "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"},
    }
    has_list = False
    left_out: Mapping[str, str] = {"in-settings": "its settings list no programs", "tray": _NO_PANEL}

    @property
    def units(self) -> Mapping[str, str]:
        return {"manager": "marco --no-composite", "server": _find("mate-notification-daemon/mate-notification-daemon")}

    async def version(self) -> str:
        return await package_version(self, "mate-notification-daemon")

    async def clear(self) -> None:
        await self.restart_server()

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self.run(f"gsettings set org.mate.NotificationDaemon do-not-disturb {str(is_on).lower()}")


class Xfce(X11Desktop):
    name = "xfce"
    opening = "Open"
    environment: Mapping[str, str] = {
        **X11Desktop.environment,
        **{"XDG_CURRENT_DESKTOP": "XFCE", "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"},
    }
    has_list = False
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
        await self._configure("/expire-timeout", "int", "15")

    async def version(self) -> str:
        return await package_version(self, "xfce4-notifyd")

    async def clear(self) -> None:
        await self.restart_server()

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


def _find(program: str) -> str:
    """It lies beside libraries, wherever this Debian has them."""
    return f"$(ls {_LIBRARIES}/{program} /usr/lib/{program} /usr/libexec/{program} 2>/dev/null | head -1)"


async def package_version(desktop: X11Desktop, package: str) -> str:
    told = await desktop.run(f"dpkg-query --show --showformat '${{Version}}' {package}")
    return f"{package} {told.split('-')[0]}"
