"""Whether systemd runs the daemon, and so what its user types to start, restart or stop it."""

from __future__ import annotations

import os
from pathlib import Path

UNIT = "heliograph.service"
_SHARED_UNITS = (Path("/etc/systemd/user"), Path("/usr/local/lib/systemd/user"), Path("/usr/lib/systemd/user"))


def unit_folder() -> Path:
    """Where systemd looks for the user's own units."""
    home = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".config") / "systemd/user"


def has_started_us() -> bool:
    """systemd started this very process, and ends it when its time has come."""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def to_start() -> str:
    """The command that starts the daemon here."""
    if not _is_there():
        return "heliograph run"
    return "systemctl --user start heliograph" if _has_unit() else "heliograph service install"


def to_restart(pid: int | None = None) -> str:
    """What to do to start it anew. `pid`: of the process that runs, if it is known."""
    if _has_unit() if pid is None else _runs(pid):
        return "systemctl --user restart heliograph"
    end = f"kill {pid}" if pid else "end it where it runs"
    return f"{end}, then: heliograph run"


def to_stop(pid: int | None) -> str:
    """What to do to stop it."""
    if _has_unit() if not pid else _runs(pid):
        return "systemctl --user stop heliograph"
    return f"Ctrl-C where it runs, or: kill {pid}" if pid else "end it where it runs"


def _is_there() -> bool:
    """A systemd of the user runs, as far as its folder tells."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return folder != "" and (Path(folder) / "systemd").is_dir()


def _has_unit() -> bool:
    return _is_there() and any((folder / UNIT).exists() for folder in (unit_folder(), *_SHARED_UNITS))


def _runs(pid: int) -> bool:
    """The process belongs to the service's control group."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
    return any(line.endswith(f"/{UNIT}") for line in groups.splitlines())
