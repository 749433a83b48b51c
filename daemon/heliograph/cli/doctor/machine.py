"""The session bus, the disk, systemd's unit and the desktop entry."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from heliograph.accounts import state_root
from heliograph.cli.doctor.finding import Finding, bad, doubtful, good
from heliograph.cli.service import systemctl
from heliograph.cli.service.unit import is_outdated, unit_file
from heliograph.desktop.identity import DESKTOP_ENTRY, data_folders
from heliograph.loops.hooks import missing_program
from heliograph.system.dbus import Bus
from heliograph.system.session_bus import session_bus_address

_LEAST_FREE = 50 * 1024 * 1024


async def check_bus() -> Finding:
    """Whether there is a session bus, where notifications go and commands ask."""
    address = session_bus_address()
    cure = "Log in to a desktop session, or start one: dbus-run-session. Over ssh, systemd provides it."
    if address is None:
        return bad("session bus", "there is none", cure)
    bus = Bus(address, matches=(), on_message=lambda _: None)
    try:
        is_connected = await bus.start()
    finally:
        await bus.stop()
    return good("session bus", address) if is_connected else bad("session bus", f"{address} does not answer", cure)


def check_disk() -> Finding:
    """Whether the ledger can grow."""
    folder = state_root()
    while not folder.exists():
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return bad("disk", f"{folder} cannot be looked at: {error.strerror}", "Make the folder readable.")
    size = f"{free // (1024 * 1024)} MB free at {folder}"
    if free < _LEAST_FREE:
        return bad("disk", size, "Make room: a full disk holds back what rings.")
    return good("disk", size)


def check_unit(*, is_running: bool) -> Finding:
    """Whether it starts with the session. `is_running`: somebody started it, be it systemd or not."""
    state = systemctl.describe()
    if state is None:
        if is_running:
            return good("unit", "no systemd of the user here, and none needed")
        return bad("unit", "no systemd of the user here", "Have your session start `heliograph run`.")
    if state.get("LoadState") != "loaded" or not unit_file().exists():
        return (doubtful if is_running else bad)("unit", "not installed", "heliograph service install")
    active, result = state.get("ActiveState", ""), state.get("Result", "")
    if active == "failed":
        return bad("unit", f"failed ({result})", "See why: journalctl --user -u heliograph -e")
    if active != "active":
        return (doubtful if is_running else bad)("unit", active or "unknown", "systemctl --user start heliograph")
    if state.get("UnitFileState") != "enabled":
        return doubtful("unit", "runs, and does not start with the session", "heliograph service install")
    if is_outdated():
        return doubtful("unit", "runs, and is not the one that this version installs", "heliograph service install")
    restarts = state.get("NRestarts", "0")
    return good(
        "unit", "runs" if restarts == "0" else f"runs, after {restarts} {'restart' if restarts == '1' else 'restarts'}"
    )


def check_hook(command: Sequence[str]) -> Finding:
    """Whether the program that the configuration names is there."""
    if (program := missing_program(command)) is not None:
        return bad("hook", f"{program} is no program", "Make it executable, or mend [hooks] on_notification.")
    return good("hook", command[0])


def check_desktop_entry() -> Finding:
    """Whether the desktop can name, group and mute us."""
    places = [folder / "applications" / f"{DESKTOP_ENTRY}.desktop" for folder in data_folders()]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return doubtful(
            "desktop entry",
            "no .desktop file: your desktop cannot name or mute Heliograph",
            "heliograph service install",
        )
    return good("desktop entry", str(found))
