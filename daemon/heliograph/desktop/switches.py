"""The switches of GNOME, Cinnamon and MATE by which their users hold notifications back, in GSettings.

They are read by the program `gsettings`, each time dconf tells of a change: GLib itself would stay in memory for good.
The settings portal has none of them.
"""

from __future__ import annotations

import asyncio
import logging
import re

from heliograph.core.popups.profile import Told
from heliograph.core.popups.quiet import DO_NOT_DISTURB, SWITCHED_OFF
from heliograph.core.value_type import value_type
from heliograph.desktop.identity import DESKTOP_ENTRY
from heliograph.system.processes import run_program

log = logging.getLogger(__name__)

INTERFACE = "ca.desrt.dconf.Writer"
_TIMEOUT_S = 5.0
_GNOME = "org.gnome.desktop.notifications"
# js/ui/messageTray.js, _canonicalizeId: how GNOME Shell makes a settings path of a desktop entry's name.
_OURS = re.sub("--+", "-", re.sub("[^a-z0-9-]", "-", DESKTOP_ENTRY.lower()))
_GNOME_OURS = f"{_GNOME}.application:/org/gnome/desktop/notifications/application/{_OURS}/"


@value_type
class _Switch:
    schema: str
    key: str
    held: str
    """The value with which notifications are held back, as `gsettings` writes it."""
    why: str


_SWITCHES = {
    Told.GNOME: (
        _Switch(_GNOME_OURS, "enable", "false", SWITCHED_OFF),
        _Switch(_GNOME_OURS, "show-banners", "false", SWITCHED_OFF),
        _Switch(_GNOME, "show-banners", "false", DO_NOT_DISTURB),
    ),
    Told.CINNAMON: (_Switch("org.cinnamon.desktop.notifications", "display-notifications", "false", DO_NOT_DISTURB),),
    Told.MATE: (_Switch("org.mate.NotificationDaemon", "do-not-disturb", "true", DO_NOT_DISTURB),),
}
_FOLDERS = (
    "/org/gnome/desktop/notifications/",
    "/org/cinnamon/desktop/notifications/",
    "/org/mate/notification-daemon/",
)
MATCHES = tuple(f"type='signal',interface='{INTERFACE}',member='Notify',arg0path='{folder}'" for folder in _FOLDERS)


async def ask_why_held(told: Told) -> str:
    """Why this desktop holds popups back; "": it does not, or cannot be asked."""
    for switch in _SWITCHES.get(told, ()):
        if await _read(switch) == switch.held:
            return switch.why
    return ""


async def _read(switch: _Switch) -> str:
    command = ["gsettings", "get", switch.schema, switch.key]
    try:
        status, written = await run_program(command, _TIMEOUT_S, {}, output=asyncio.subprocess.PIPE)
    except OSError as error:
        log.debug("gsettings does not run: %s", error)
        return ""
    return written.decode(errors="replace").strip() if status == 0 else ""
