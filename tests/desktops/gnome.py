"""GNOME Shell without a screen of its own, which tells what it shows: `--unsafe-mode`, org.gnome.Shell.Eval."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desktops.desktop import Desktop, Wrong
from desktops.display_manager import NAME as DISPLAY_MANAGER
from desktops.display_manager import POLICY
from desktops.machine import NOTIFICATIONS, PATIENCE_S
from desktops.sight import read_picture
from desktops.tree import PROGRAMS
from support.waiting import until

_SETTINGS = "org.gnome.desktop.notifications"
_PLAYED = """\
globalThis.backend ??= global.stage.context?.get_backend() ?? imports.gi.Clutter.get_default_backend();
globalThis.pointer ??= backend.get_default_seat().create_virtual_device(0);
globalThis.now ??= () => imports.gi.GLib.get_monotonic_time();
globalThis.walk ??= (actor, found) => {
    if (!actor.visible) return;
    found(actor);
    actor.get_children().forEach(each => walk(each, found));
};
globalThis.place ??= actor => {
    let [x, y] = actor.get_transformed_position(), [w, h] = actor.get_transformed_size();
    return [Math.round(x + w / 2), Math.round(y + h / 2)];
};
"""
# Banners stay for as long as the user seems not to be there.
_STIR = """\
globalThis.stirring ??= imports.gi.GLib.timeout_add(0, 700, () => {
    let [x, y] = global.get_pointer();
    pointer.notify_absolute_motion(now(), x + ((globalThis.left = !globalThis.left) ? 1 : -1), y);
    return true;
}); 0"""
_BANNER = """\
(() => {
    let tray = Main.messageTray, shown = tray._notification;
    return shown && tray._notificationState > 0 && tray._notificationState < 3
        ? `${shown.title}\\n${shown.body ?? shown.bannerBodyText ?? ''}` : '';
})()"""
_LABELS = """\
(() => {
    let found = [];
    walk(Main.messageTray._bannerBin, actor => actor.label && found.push(actor.label));
    return found.join(' ');
})()"""
_LIST = """\
Main.messageTray.getSources().flatMap(source => source.notifications.map(
    each => `${source.title}\\n${each.title}\\n${each.body ?? each.bannerBodyText ?? ''}`)).join('\\n\\n')"""
_BUTTON = """\
(() => {
    let found = null;
    walk(Main.messageTray._bannerBin, actor => {
        let text = actor.label ?? (actor.get_text ? actor.get_text() : null);
        if (text === LABEL) found = place(actor);
    });
    return found;
})()"""
_TRAY = "ubuntu-appindicators@ubuntu.com"
_ITEM = """\
Object.entries(Main.panel.statusArea).filter(([name, item]) => name.startsWith('appindicator') && item.visible)
    .map(([name, item]) => place(item))[0] ?? null"""
_ENTRY = """\
(() => {
    let found = null;
    walk(Main.layoutManager.uiGroup, actor => {
        if (actor.get_text && actor.get_text() === LABEL) found = place(actor);
    });
    return found;
})()"""
_CLICK = """\
pointer.notify_button(now(), 1, 1);
imports.gi.GLib.timeout_add(0, 60, () => {
    pointer.notify_button(now(), 1, 0);
    return false;
}); 0"""
_AWAY = [640, 790]


class Gnome(Desktop):
    """The list is that of the calendar, below the clock."""

    name = "gnome"
    # Below the bar, where banners are.
    area = (340, 32, 940, 700)
    tray_area = (640, 0, 1280, 32)
    environment: Mapping[str, str] = {
        **{"XDG_CURRENT_DESKTOP": "GNOME", "XDG_SESSION_TYPE": "wayland", "WAYLAND_DISPLAY": "wayland-gnome"},
        **{"LIBGL_ALWAYS_SOFTWARE": "1", "NO_AT_BRIDGE": "1", "GSK_RENDERER": "cairo"},
    }

    async def start(self) -> None:
        # Where colord is, the screen's profile would have it ask for a password, in the middle of the screen.
        await self.machine.root("rm", "-f", "/usr/share/dbus-1/system-services/org.freedesktop.ColorManager.service")
        await self._offer_locking()
        await self.run("gsettings set org.gnome.desktop.session idle-delay 0")
        for key, value in (("picture-options", "none"), ("primary-color", "#4b5872")):
            await self.run(f"gsettings set org.gnome.desktop.background {key} '{value}'")
        await self.run(f"gsettings set org.gnome.shell enabled-extensions \"['{_TRAY}']\"")
        await self.run("gsettings set org.gnome.shell welcome-dialog-last-shown-version 999")
        await self._start_shell()

    async def version(self) -> str:
        told = await self.machine.user("gnome-shell", "--version")
        return told.strip()

    async def take_picture(self, picture: Path) -> None:
        words = ("org.gnome.Shell.Screenshot", "/org/gnome/Shell/Screenshot", "org.gnome.Shell.Screenshot")
        await self.machine.user("busctl", "--user", "call", *words, "Screenshot", "bbs", "true", "false", str(picture))

    async def popups(self) -> str:
        return str(await self._eval(_BANNER))

    async def read_screen(self) -> str:
        picture = self.machine.shared / "glance.png"
        await self.take_picture(picture)
        return (await read_picture(self.machine, picture)).text

    async def read_popup(self, picture: Path) -> str:
        """Buttons are taken from its state: they are grey on grey, and seldom read right."""
        seen = await read_picture(self.machine, picture, box=self.area)
        return f"{seen.text} {await self._eval(_LABELS)}"

    async def kept(self) -> str:
        return str(await self._eval(_LIST))

    async def press(self, label: str) -> None:
        # Buttons are there once the pointer is on the banner.
        await self._point(await self._eval("place(Main.messageTray._bannerBin)"))
        await asyncio.sleep(1)
        await self._click_on(_BUTTON.replace("LABEL", json.dumps(label)), label)
        await self._point(_AWAY)

    async def dismiss(self) -> None:
        # DISMISSED; what its button for that does.
        await self._eval("Main.messageTray._notification.destroy(2); 0")

    async def type_reply(self, text: str) -> None:
        raise NotImplementedError("GNOME Shell takes no text in a banner")

    async def clear(self) -> None:
        await self._eval("Main.messageTray.getSources().forEach(source => source.destroy()); 0")
        await self._point(_AWAY)

    async def set_locked(self, *, is_locked: bool) -> None:
        await self.run(f"loginctl {'lock' if is_locked else 'unlock'}-session $XDG_SESSION_ID")

        async def is_so() -> bool:
            return await self._eval("Main.screenShield.locked") is is_locked

        await until(is_so, "the lock", PATIENCE_S)
        await asyncio.sleep(1)

    async def set_do_not_disturb(self, *, is_on: bool) -> None:
        await self.run(f"gsettings set {_SETTINGS} show-banners {str(not is_on).lower()}")

    async def restart_server(self) -> None:
        await self.machine.end("shell")
        await self._start_shell()

    async def restart_tray(self) -> None:
        await self.restart_server()

    async def choose_in_tray(self, label: str) -> None:
        await self._click_on(_ITEM, "our item")
        await asyncio.sleep(1)
        await self._click_on(_ENTRY.replace("LABEL", json.dumps(label)), label)
        await self._point(_AWAY)

    async def names_in_settings(self) -> str:
        path = "/org/gnome/desktop/notifications/application/heliograph/"
        return await self.run(
            f"gsettings get {_SETTINGS} application-children;"
            f" gsettings get {_SETTINGS}.application:{path} application-id"
        )

    async def _start_shell(self) -> None:
        words = ("--headless", "--virtual-monitor", "1280x800", "--wayland-display=wayland-gnome", "--unsafe-mode")
        await self.machine.spawn("shell", "gnome-shell", *words)
        await until(lambda: self.machine.has_name(NOTIFICATIONS), "GNOME Shell", PATIENCE_S)
        await self._eval(_PLAYED + "0")
        # It begins with the overview, and leaves it only once it has started.
        await until(lambda: self._eval("!Main.layoutManager._startingUp"), "the end of the start", PATIENCE_S)
        await self._eval("Main.overview.hide(); 0")
        await until(lambda: self._eval("!Main.overview.visible"), "the desktop behind the overview", PATIENCE_S)
        await self._point(_AWAY)
        await self._eval(_STIR)

    async def _offer_locking(self) -> None:
        policy = f"/etc/dbus-1/system.d/{DISPLAY_MANAGER}.conf"
        await self.machine.root("sh", "-c", 'printf %s "$0" >"$1"', POLICY, policy)
        await self.machine.root(
            "busctl", "call", *("org.freedesktop.DBus", "/", "org.freedesktop.DBus"), "ReloadConfig"
        )
        program = (str(PROGRAMS / "python"), str(Path(__file__).with_name("display_manager.py")))
        await self.machine.root("systemd-run", "--quiet", "--unit=display-manager-of-the-test", *program)

    async def _point(self, at: list[int]) -> None:
        await self._eval(f"pointer.notify_absolute_motion(now(), {at[0]}, {at[1]}); 0")

    async def _click_on(self, found: str, what: str) -> None:
        at = await self._eval(found)
        if at is None:
            raise Wrong(f"there is no button {what!r}")
        await self._point(at)
        await asyncio.sleep(0.3)
        await self._eval(_CLICK)
        await asyncio.sleep(0.5)

    async def _eval(self, script: str) -> Any:
        """Its last value. Raises AssertionError with what the shell says."""
        words = ("org.gnome.Shell", "/org/gnome/Shell", "org.gnome.Shell", "Eval", "s", script)
        told = await self.machine.user("busctl", "--user", "--json=short", "call", *words)
        is_done, answer = json.loads(told)["data"]
        assert is_done, f"GNOME Shell said: {answer}"
        return json.loads(answer) if answer else None
