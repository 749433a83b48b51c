"""Writes the unit files: takes the shipped ones and fills in what is special to this installation."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Sequence
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from heliograph.accounts import cache_root, config_file, state_root
from heliograph.cli.service.systemctl import LEAVE_UNIT
from heliograph.core.text.clean import clean_line
from heliograph.errors import UserError
from heliograph.system.service_manager import UNIT, unit_folder

_NAMESPACES = re.compile(r"^# Namespaces\..*?^# End of namespaces\.\n", re.MULTILINE | re.DOTALL)
RELAY_UNIT = "heliograph-relay.service"
RELAY_SOCKET = "heliograph-relay.socket"
_HIDDEN_FROM_RELAY = ("/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev")  # noqa: S108 nothing is written there
"""Folders that the relay's unit hides from it: the first three by ProtectHome=yes, the next two by PrivateTmp=yes, the
last by PrivateDevices=yes."""
_RENDERED = frozenset({"ExecStart", "ExecStopPost", "ReadWritePaths", "WantedBy"})
_PLACES = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")


def unit_file() -> Path:
    """The path of the service's unit file."""
    return unit_folder() / UNIT


def find_program() -> Path:
    """The absolute path of the `heliograph` that is running. Raises UserError."""
    # Symbolic links are not resolved: an update by pipx changes what is behind them.
    candidates = (shutil.which(sys.argv[0]), Path(sys.executable).with_name("heliograph"))
    for candidate in candidates:
        if candidate and Path(candidate).name == "heliograph" and os.access(candidate, os.X_OK):
            return Path(candidate).absolute()
    raise UserError("The command heliograph is not where this Python is.", "Install Heliograph, for example with pipx.")


def leave_unit_file() -> Path:
    """The path of the file of heliograph-leave.service, which switches other devices on again after a failure."""
    return unit_file().with_name(LEAVE_UNIT)


def render_unit(program: Path, target: Literal["graphical-session", "default"], *, with_namespaces: bool = True) -> str:
    """The unit file that starts `program` with `target`, and lets it write where this user's files are."""
    unit = _render(UNIT, "run", program, with_namespaces=with_namespaces)
    unit = _set(unit, "ExecStopPost", f"-{_quote(str(program), is_command=True)} handoff --leave")
    return _set(unit, "WantedBy", f"{target}.target")


def render_leave_unit(program: Path, *, with_namespaces: bool = True) -> str:
    """The unit file for `leave_unit_file`, which runs `program` in the same sandbox."""
    return _render(LEAVE_UNIT, "handoff --leave", program, is_failure_ignored=True, with_namespaces=with_namespaces)


def is_outdated() -> bool:
    """True if the installed unit differs from the one that this version would install, apart from programs, folders and
    targets, which are the user's choice."""
    return any(_is_outdated(file, name) for file, name in ((unit_file(), UNIT), (leave_unit_file(), LEAVE_UNIT)))


def _is_outdated(file: Path, name: str) -> bool:
    try:
        installed = file.read_text("utf-8", errors="replace")
    except OSError:
        return True
    shipped = _shipped_unit(name)
    # Where user namespaces are forbidden, the unit was installed without that part of the sandbox.
    return _settings(installed) not in (_settings(shipped), _settings(_NAMESPACES.sub("", shipped)))


def _settings(unit: str) -> list[str]:
    """The lines of a unit without comments, and without the values of those settings that `_render` fills in."""
    lines = [line.strip() for line in unit.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("#", ";", "Environment="))]
    return [key if (key := line.partition("=")[0]) in _RENDERED else line for line in kept]


def _render(name: str, words: str, program: Path, *, is_failure_ignored: bool = False, with_namespaces: bool) -> str:
    folders = (config_file().parent, state_root(), cache_root())
    # "-": a folder that is missing must not keep the service from starting (systemd.exec(5)).
    writable = " ".join(_quote(f"-{folder}") for folder in folders)
    # Written into the unit, since the user manager does not know the variables that the user's shell sets.
    places = "".join(
        f"Environment={_quote(f'{name}={os.environ[name]}')}\n" for name in _PLACES if os.environ.get(name)
    )
    unit = _shipped_unit(name)
    if not with_namespaces:
        unit = _NAMESPACES.sub("", unit)
    prefix = "-" if is_failure_ignored else ""
    unit = _set(unit, "ExecStart", f"{prefix}{_quote(str(program), is_command=True)} {words}")
    unit = _set(unit, "ReadWritePaths", writable)
    return unit.replace("ExecStart=", f"{places}ExecStart=", 1)


def find_needs(program: Path) -> tuple[Path, ...]:
    """The paths that must be visible for `program` (the running `heliograph`) to start: itself, its packages, its
    Python."""
    return (program, Path(__file__), Path(sys.prefix), Path(sys.base_prefix))


def render_relay_unit(program: Path, needs: Sequence[Path]) -> str:
    """The system unit of the relay, which starts `program`. Raises UserError if the sandbox hides one of `needs`, or if
    the service's user, whom systemd makes up, may not read it."""
    for need in needs:
        is_hidden = any(
            place.is_relative_to(hidden) for place in (need, need.resolve()) for hidden in _HIDDEN_FROM_RELAY
        )
        if is_hidden or _is_closed_to_others(need.resolve()):
            why = "whose sandbox hides" if is_hidden else "whose user may not read"
            raise UserError(
                f"This Heliograph cannot run as the relay's service, {why} {need.resolve()}.",
                "Install it for the whole machine, and have that one print the unit: "
                "sudo python3 -m venv /opt/heliograph && sudo /opt/heliograph/bin/pip install . "
                "&& sudo /opt/heliograph/bin/heliograph relay unit",
            )
    command = f"{_quote(str(program), is_command=True)} relay --config ${{CONFIGURATION_DIRECTORY}}/relay.toml"
    return _set(_shipped_unit(RELAY_UNIT), "ExecStart", command)


def render_relay_socket(host: str, port: int) -> str:
    """The socket unit that keeps the relay's port open while the service restarts. Raises UserError for a host that is
    no address: systemd looks up no names."""
    try:
        address = ip_address(host)
    except ValueError:
        raise UserError(
            f"A socket unit needs an address to listen at, and {clean_line(host, 100)} is none.",
            "Write it into `listen` as a number, like 127.0.0.1:8077, or use the service without a socket unit.",
        ) from None
    return _set(
        _shipped_unit(RELAY_SOCKET),
        "ListenStream",
        f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}",
    )


def _is_closed_to_others(place: Path) -> bool:
    """True if the place, or a folder above it, is for its owner and group alone."""
    return not _permits(place, stat.S_IROTH) or not all(_permits(folder, stat.S_IXOTH) for folder in place.parents)


def _permits(path: Path, right: int) -> bool:
    try:
        return bool(path.stat().st_mode & right)
    except OSError:
        # The program is told to be missing elsewhere.
        return True


def _shipped_unit(name: str) -> str:
    packaged = resources.files("heliograph") / "data" / name
    if packaged.is_file():
        return packaged.read_text("utf-8")
    # An editable installation, or the checkout itself, has the units at the root of the repository.
    return (Path(__file__).parents[4] / "systemd" / name).read_text("utf-8")


def _set(unit: str, key: str, value: str) -> str:
    # A function and not a text: in a text re would take backslashes of paths for escapes.
    return re.sub(rf"^{key}=.*$", lambda _: f"{key}={value}", unit, flags=re.MULTILINE)


def _quote(text: str, *, is_command: bool = False) -> str:
    """The text quoted for a unit file (systemd.syntax(7)); `is_command`: for ExecStart and the like
    (systemd.service(5)), where "$" stands for variables as well."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if is_command:
        text = text.replace("$", "$$")
    return f'"{text}"' if re.search(r"[\s'\"\\;]", text) else text
