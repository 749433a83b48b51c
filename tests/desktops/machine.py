"""The booted machine that a desktop runs on: its user's commands, sounds, journal and Heliograph."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from desktops.tree import PROGRAMS
from heliograph.demo.user import DemoUser
from support.waiting import until
from system.systemd_box import COMMAND_S, REPOSITORY, UID, USER, SystemdBox

NOTIFICATIONS = "org.freedesktop.Notifications"
HOME = Path(f"/home/{USER}")
RUNTIME = Path(f"/run/user/{UID}")
PATIENCE_S = 60.0
_PREFIX = "desktop-"
"""Some programs have units of their own, by their names."""
_SOUNDS = RUNTIME / "sounds"
_BUS = RUNTIME / "bus.log"
_OPENED = HOME / "opened"
_CLIENT_PROGRAM = HOME / "client"
_NOTE = f"""\
#!/bin/sh
echo "$1 $XDG_ACTIVATION_TOKEN$DESKTOP_STARTUP_ID" >>{_OPENED}
"""
_CLIENT = f"""\
[Desktop Entry]
Type=Application
Name=A client
Exec={_CLIENT_PROGRAM} %u
MimeType=x-scheme-handler/matrix;
"""
_DEFAULTS = "[Default Applications]\nx-scheme-handler/matrix=client.desktop\n"


class Machine:
    """`shared` is a folder that is the same inside and outside, where pictures go."""

    def __init__(self, box: SystemdBox, shared: Path) -> None:
        self._box = box
        self.shared = shared
        self.environment: dict[str, str] = {}
        """Of the desktop's session, for what its user types."""

    async def begin(self, environment: Mapping[str, str]) -> None:
        """Logs the user in, with these variables; afterwards sounds, calls over the bus and opened rooms are noted."""
        # Of all that are installed, the bus would start any while the desktop's own is not up.
        activated = f"grep -rlx Name={NOTIFICATIONS} /usr/share/dbus-1/services /usr/share/dbus-1/session-services"
        await self.root("sh", "-c", f"rm $({activated} 2>/dev/null)")
        session = await asyncio.to_thread(self._box.log_in)
        self.environment |= {**environment, "XDG_SESSION_ID": session}
        await self.set_environment(self.environment)
        silent = "module-null-sink"
        await self.spawn("sounds-of", "pulseaudio", "-n", "--exit-idle-time=-1", "-L", silent, "-L", _PULSE)
        await until(partial(self.succeeds, "pactl info"), "PulseAudio", PATIENCE_S)
        await self.spawn("ears", "sh", "-c", f"exec pactl subscribe >{_SOUNDS}")
        monitor = f"interface='{NOTIFICATIONS}'"
        await self.spawn("tap", "sh", "-c", f'exec busctl --user --json=short --match="{monitor}" monitor >{_BUS}')
        await self.write(_CLIENT_PROGRAM, _NOTE)
        await self.user("chmod", "+x", str(_CLIENT_PROGRAM))
        await self.write(HOME / ".local/share/applications/client.desktop", _CLIENT)
        await self.write(HOME / ".config/mimeapps.list", _DEFAULTS)

    async def set_environment(self, variables: Mapping[str, str]) -> None:
        """For all that the user's manager starts from now on, as a session does."""
        self.environment |= variables
        words = [f"{name}={value}" for name, value in variables.items()]
        await self.user("systemctl", "--user", "set-environment", *words)

    # Commands

    async def root(self, *words: str, check: bool = True) -> str:
        return await asyncio.to_thread(partial(self._box.run, *words, check=check))

    async def user(self, *words: str, check: bool = True, seconds: float = COMMAND_S) -> str:
        """What the user's command wrote. Raises AssertionError unless it ended with 0, and TimeoutExpired."""
        run = partial(self._box.run_as_user, *words, check=check, environment=self.environment, timeout_s=seconds)
        return await asyncio.to_thread(run)

    async def succeeds(self, line: str) -> bool:
        """Whether that line of the shell ends with 0."""
        return "yes" in await self.user("sh", "-c", f"{line} >/dev/null 2>&1 && echo yes", check=False)

    async def spawn(self, unit: str, *words: str) -> None:
        """Runs a program until the session ends, or `end` is called, as a unit of the user's manager."""
        await self.user("systemd-run", "--user", "--quiet", f"--unit={_PREFIX}{unit}", *words)

    async def end(self, unit: str) -> None:
        """Ends what was spawned as that unit."""
        name = f"{_PREFIX}{unit}.service"
        await self.user("sh", "-c", f"systemctl --user stop {name}; systemctl --user reset-failed {name}", check=False)

    async def write(self, file: Path, text: str) -> None:
        """The user writes a file."""
        await self.user("sh", "-c", 'mkdir -p "$(dirname "$0")" && printf %s "$1" >"$0"', str(file), text)

    async def has_name(self, name: str) -> bool:
        """Whether somebody has it on the session bus."""
        return await self.succeeds(f"busctl --user --no-legend status {shlex.quote(name)}")

    async def hint_locked(self, *, is_locked: bool) -> None:
        """As a screen locker tells logind."""
        session = self.environment["XDG_SESSION_ID"]
        # An object's path may not have a digit after the slash (sd_bus_path_encode(3)).
        start = f"_{ord(session[0]):x}" if session[0].isdigit() else session[0]
        hint = ("org.freedesktop.login1.Session", "SetLockedHint", "b", str(is_locked).lower())
        path = f"/org/freedesktop/login1/session/{start}{session[1:]}"
        await self.user("busctl", "call", "org.freedesktop.login1", path, *hint)

    # Heliograph

    async def install(self) -> None:
        """This checkout. Raises AssertionError if it wants what the tree lacks: then that is to be made anew."""
        pip = str(PROGRAMS / "pip")
        await self.root(pip, "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", str(REPOSITORY))
        await self.root(pip, "check")

    async def sign_in(self, who: DemoUser) -> None:
        """As a user does: `heliograph login`, then `heliograph service install`."""
        words = f"heliograph login {who.user_id} --homeserver {who.base_url} --secrets file --password-stdin"
        await self.user("sh", "-c", f"echo {shlex.quote(who.password)} | {words}")
        # A session of plain programs does not reach graphical-session.target.
        await self.user("heliograph", "service", "install", "--target", "default")
        await self.until_connected()

    async def until_connected(self) -> None:
        async def is_connected() -> bool:
            told = await self.user("heliograph", "status", "--json", check=False)
            return '"connected"' in told

        await until(is_connected, "the connection", PATIENCE_S)

    async def control_daemon(self, verb: str) -> None:
        """start, stop or restart."""
        await self.user("systemctl", "--user", verb, "heliograph.service")
        if verb != "stop":
            await self.until_connected()

    async def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(await self.user("heliograph", "status", "--json"))
        return told

    # What was noted

    async def count_sounds(self) -> int:
        """How many sounds were played until now, whoever played them."""
        return (await self.user("cat", str(_SOUNDS))).count("Event 'new' on sink-input")

    async def bus_log(self) -> list[dict[str, Any]]:
        """Messages from and to notification servers, oldest first, as busctl(1) has them."""
        lines = (await self.user("cat", str(_BUS))).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    async def opened(self) -> str:
        """The address and the activation token of each room that was opened."""
        return await self.user("sh", "-c", f"cat {_OPENED} 2>/dev/null", check=False)


_PULSE = "module-native-protocol-unix"
