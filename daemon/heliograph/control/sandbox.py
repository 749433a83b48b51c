"""Whether a process of this machine lives in an application sandbox, by what the kernel says of it.

Flatpak mounts /.flatpak-info into each of its sandboxes, the proxy to the session bus included, and names the control
group. snapd names the AppArmor label, which only complains of a snap with classic confinement, that is of none; where
the label is not AppArmor's, the control group is all there is. The folder /proc/PID/root alone would not do: a daemon
in a user namespace of its own, as our unit has it, may not look into it.
"""

from __future__ import annotations

import re
from pathlib import Path

PROC = Path("/proc")
_MAX_BYTES = 4 * 1024 * 1024
_FLATPAK_INFO = ".flatpak-info"
_FLATPAK_GROUP = re.compile(r"/(?:app-)?flatpak-[^/]*\.scope(?:/|$)")
_SNAP_GROUP = re.compile(r"/snap\.[^/]+\.(?:scope|service)(?:/|$)")


def find_sandbox(pid: int, label: str, proc: Path = PROC) -> str | None:
    """The kind of sandbox, for people; None: it lives in none. `label`: what the bus says of its LinuxSecurityLabel.

    Blocks for a moment. Raises OSError if the kernel does not tell, as of a process that has ended.
    """
    folder = proc / str(pid)
    groups = _read(folder / "cgroup").splitlines()
    if _is_snap(label, groups):
        return "Snap"
    if any(_FLATPAK_GROUP.search(group) for group in groups) or _has_flatpak_info(folder):
        return "Flatpak"
    return None


def _is_snap(label: str, groups: list[str]) -> bool:
    # SELinux writes user:role:type:level.
    if label and ":" not in label:
        return label.startswith("snap.") and not label.endswith("(complain)")
    return any(_SNAP_GROUP.search(group) for group in groups)


def _has_flatpak_info(folder: Path) -> bool:
    # proc_pid_mountinfo(5): the fifth field is the mount point, below the process's own root.
    mount_points = (line.split(" ", 5)[4:5] for line in _read(folder / "mountinfo").splitlines())
    if [f"/{_FLATPAK_INFO}"] in mount_points:
        return True
    try:
        (folder / "root" / _FLATPAK_INFO).lstat()
    except (FileNotFoundError, PermissionError):
        return False
    return True


def _read(file: Path) -> str:
    """Raises OSError, also if it goes on for ever."""
    with file.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(f"{file} is larger than any")
    return content.decode(errors="replace")
