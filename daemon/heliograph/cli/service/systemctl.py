"""Talks to systemd's user manager through systemctl."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from heliograph.errors import UserError
from heliograph.system.service_manager import UNIT
from heliograph.system.whole_file import replace_file

LEAVE_UNIT = "heliograph-leave.service"

_TIMEOUT_S = 30
_START_TIMEOUT_S = 120
"""Above the unit's TimeoutStartSec, so that systemd is the one to give up."""


def require_user_manager() -> None:
    """Raises UserError unless a user manager answers."""
    if _run("systemctl", "--user", "show", "--property=Version") is None:
        raise UserError(
            "systemd's user manager does not answer here.",
            "Without systemd, have your session start `heliograph run`. Over su or sudo, log in properly instead.",
        )


def allows_namespaces() -> bool:
    """True if units of the user can have that part of the sandbox which needs namespaces, or if that cannot be
    tried."""
    if shutil.which("systemd-run") is None or shutil.which("true") is None:
        return True
    properties = ("--property=PrivateUsers=yes", "--property=ProtectSystem=strict", "--property=PrivateDevices=yes")
    # Tried out: kernels, AppArmor and containers forbid namespaces in ways of their own, which no one file tells.
    command = ("systemd-run", "--user", "--quiet", "--wait", "--collect", *properties, str(shutil.which("true")))
    return _run(*command) is not None


def is_active(unit: str) -> bool:
    """True if the unit is active."""
    return _run("systemctl", "--user", "--quiet", "is-active", unit) is not None


def unit_state() -> dict[str, str] | None:
    """The properties of our unit, by name: LoadState, ActiveState and so on. None: the user manager does not answer."""
    names = ("LoadState", "ActiveState", "UnitFileState", "Result", "NRestarts")
    told = _run("systemctl", "--user", "show", UNIT, *(f"--property={name}" for name in names))
    if told is None:
        return None
    return {name: value for name, _, value in (line.partition("=") for line in told.splitlines())}


def write_unit(file: Path, text: str) -> None:
    """Writes a unit file, whole or not at all. Raises UserError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, text.encode(), 0o644)
    except OSError as error:
        raise UserError(
            f"{file} cannot be written: {error.strerror}.", f"Make {file.parent} a folder that you may write to."
        ) from error


def enable() -> None:
    """Has the unit started with its target, also if it was enabled for another target before."""
    _do("systemctl", "--user", "daemon-reload")
    _do("systemctl", "--user", "reenable", UNIT)


def restart() -> None:
    """Starts the service, or restarts it, and waits until it is ready."""
    # After too many failed starts, systemd refuses another one until this is said.
    _run("systemctl", "--user", "reset-failed", UNIT)
    _do("systemctl", "--user", "restart", UNIT, timeout_s=_START_TIMEOUT_S)


def remove_units(*files: Path) -> bool:
    """Stops the service and removes the unit files. Returns False if the first file was not there. Works without
    systemd as well."""
    if _run("systemctl", "--user", "show", "--property=Version") is not None:
        _run("systemctl", "--user", "disable", "--now", UNIT, timeout_s=_START_TIMEOUT_S)
    removed = [_remove(file) for file in files]
    if any(removed):
        _run("systemctl", "--user", "daemon-reload")
    return removed[0]


def _remove(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{file} cannot be removed: {error.strerror}.", "Remove it by hand.") from error
    return True


def show_status() -> int:
    """Lets systemctl write the service's state to the terminal. Returns its exit code."""
    # The pager of the user's environment would wait for a key in scripts.
    environment = {**os.environ, "SYSTEMD_PAGER": ""}
    command = ["systemctl", "--user", "--no-pager", "status", UNIT]
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def _do(*command: str, timeout_s: float = _TIMEOUT_S) -> None:
    if _run(*command, timeout_s=timeout_s) is None:
        raise UserError(
            f"`{' '.join(command)}` failed.", "See why: heliograph service status, journalctl --user -u heliograph -e"
        )


def _run(*command: str, timeout_s: float = _TIMEOUT_S) -> str | None:
    """What the command wrote to standard output; None: it failed, or took too long."""
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
