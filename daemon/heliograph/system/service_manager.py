"""Finds out whether systemd runs the daemon, and so which command starts, restarts or stops it."""

from __future__ import annotations

import os
from pathlib import Path

UNIT = "heliograph.service"
_SHARED_UNITS = (Path("/etc/systemd/user"), Path("/usr/local/lib/systemd/user"), Path("/usr/lib/systemd/user"))


def unit_folder() -> Path:
    """The folder in which systemd looks for the user's own units."""
    home = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".config") / "systemd/user"


def has_started_us() -> bool:
    """True if systemd started this very process, and so will end it as well."""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def to_start() -> str:
    """The command that starts the daemon here."""
    if not _is_there():
        return "heliograph run"
    return "systemctl --user start heliograph" if _has_unit() else "heliograph service install"


def to_restart(pid: int | None = None) -> str:
    """The command that restarts the daemon. `pid`: its process id, if known."""
    if _has_unit() if pid is None else _runs(pid):
        return "systemctl --user restart heliograph"
    end = f"kill {pid}" if pid else "end it where it runs"
    return f"{end}, then: heliograph run"


def to_reload() -> str:
    """The command that has the daemon read its settings again."""
    return "systemctl --user reload heliograph" if _has_unit() else to_restart()


def to_stop(pid: int | None) -> str:
    """The command that stops the daemon, or words if there is none. `pid`: its process id, if known."""
    if _has_unit() if not pid else _runs(pid):
        return "systemctl --user stop heliograph"
    return f"Ctrl-C where it runs, or: kill {pid}" if pid else "end it where it runs"


def _is_there() -> bool:
    """True if a systemd of the user runs, by the folder that it makes at its start."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return folder != "" and (Path(folder) / "systemd").is_dir()


def _has_unit() -> bool:
    return _is_there() and any((folder / UNIT).exists() for folder in (unit_folder(), *_SHARED_UNITS))


def _runs(pid: int) -> bool:
    """True if the process is in the control group of our unit. A daemon that was started by hand is in another."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
    return any(line.endswith(f"/{UNIT}") for line in groups.splitlines())
