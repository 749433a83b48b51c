"""Checks the machine: the session bus, the disk, systemd's unit, the hook and the desktop entry."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from heliograph.accounts import state_root
from heliograph.cli.service import systemctl
from heliograph.cli.service.unit import is_outdated, unit_file
from heliograph.cli.tray.check import find_tray
from heliograph.core.finding import Finding, bad, doubtful, good
from heliograph.desktop.identity import DESKTOP_ENTRY, data_folders
from heliograph.loops.hooks import missing_program
from heliograph.system.dbus import Bus
from heliograph.system.session_bus import session_bus_address

_LEAST_FREE = 50 * 1024 * 1024


async def check_bus() -> Finding:
    """Checks that there is a session bus, over which notifications and commands go."""
    address = session_bus_address()
    cure = "Log in to a desktop session, or start one: dbus-run-session. Over ssh, systemd provides it."
    if address is None:
        return bad("there is none", cure, subject="session bus")
    # An address alone says little: it outlives the bus in the environment of old shells.
    bus = Bus(address, matches=(), on_message=lambda _: None)
    try:
        is_connected = await bus.start()
    finally:
        await bus.stop()
    if not is_connected:
        return bad(f"{address} does not answer", cure, subject="session bus")
    return good(address, subject="session bus")


async def check_tray() -> Finding:
    """Checks that this session has a tray, for users who want an item there."""
    tray = await find_tray()
    if tray is None:
        return doubtful("there is none, and the item waits for one", "heliograph tray", subject="tray")
    by = tray.program or "an unknown program"
    if not tray.has_host:
        return doubtful(f"{by} watches for items, and nothing shows them", "heliograph tray", subject="tray")
    return good(f"there is one, by {by}", subject="tray")


def check_disk() -> Finding:
    """Checks that the disk has room for the ledger to grow."""
    folder = state_root()
    # Made at the first start: until then its nearest parent is on the disk in question.
    while not folder.exists():
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return bad(f"{folder} cannot be looked at: {error.strerror}", "Make the folder readable.", subject="disk")
    size = f"{free // (1024 * 1024)} MB free at {folder}"
    if free < _LEAST_FREE:
        return bad(size, "Make room: a full disk holds back what rings.", subject="disk")
    return good(size, subject="disk")


def check_unit(*, is_running: bool) -> Finding:
    """Checks that systemd starts the daemon with the session. `is_running`: a daemon runs, whoever started it."""
    state = systemctl.unit_state()
    if state is None:
        if is_running:
            return good("no systemd of the user here, and none needed", subject="unit")
        return bad("no systemd of the user here", "Have your session start `heliograph run`.", subject="unit")
    if state.get("LoadState") != "loaded" or not unit_file().exists():
        return (doubtful if is_running else bad)("not installed", "heliograph service install", subject="unit")
    active, result = state.get("ActiveState", ""), state.get("Result", "")
    if active == "failed":
        return bad(f"failed ({result})", "See why: journalctl --user -u heliograph -e", subject="unit")
    if active != "active":
        return (doubtful if is_running else bad)(
            active or "unknown", "systemctl --user start heliograph", subject="unit"
        )
    if state.get("UnitFileState") != "enabled":
        return doubtful("runs, and does not start with the session", "heliograph service install", subject="unit")
    if is_outdated():
        return doubtful(
            "runs, and is not the one that this version installs", "heliograph service install", subject="unit"
        )
    restarts = state.get("NRestarts", "0")
    return good(
        "runs" if restarts == "0" else f"runs, after {restarts} {'restart' if restarts == '1' else 'restarts'}",
        subject="unit",
    )


def check_hook(command: Sequence[str]) -> Finding:
    """Checks that the program which the configuration names as a hook exists."""
    if (program := missing_program(command)) is not None:
        return bad(f"{program} is no program", "Make it executable, or mend [hooks] on_notification.", subject="hook")
    return good(command[0], subject="hook")


def check_desktop_entry() -> Finding:
    """Checks that our desktop entry is installed, by which a desktop names, groups and mutes our notifications."""
    places = [folder / "applications" / f"{DESKTOP_ENTRY}.desktop" for folder in data_folders()]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return doubtful(
            "no .desktop file: your desktop cannot name or mute Heliograph",
            "heliograph service install",
            subject="desktop entry",
        )
    return good(str(found), subject="desktop entry")
