"""Finds out whether a process lives in an application sandbox, by what the kernel tells about that process.

Flatpak mounts /.flatpak-info into each of its sandboxes, also into that of its proxy to the session bus, and gives the
control group a name of its own. snapd gives the AppArmor label a name of its own; in complain mode that is a snap with
classic confinement, which means none. If the label is not AppArmor's, only the control group tells. The folder
/proc/PID/root alone is not enough: a daemon in a user namespace of its own, as by our unit, may not look into it.
Test: test_a_sandbox_is_known_by_what_the_kernel_says.
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
    """The kind of sandbox, for people; None: the process lives in none. `label`: its LinuxSecurityLabel by the bus.

    Blocks for a moment. Raises OSError if the kernel does not tell, for example since the process has ended.
    """
    folder = proc / str(pid)
    groups = _read(folder / "cgroup").splitlines()
    if _is_snap(label, groups):
        return "Snap"
    if any(_FLATPAK_GROUP.search(group) for group in groups) or _has_flatpak_info(folder):
        return "Flatpak"
    return None


def _is_snap(label: str, groups: list[str]) -> bool:
    # A colon: a label of SELinux (user:role:type:level), which knows nothing of snaps.
    if label and ":" not in label:
        return label.startswith("snap.") and not label.endswith("(complain)")
    return any(_SNAP_GROUP.search(group) for group in groups)


def _has_flatpak_info(folder: Path) -> bool:
    # proc_pid_mountinfo(5): the fifth field is the mount point, below the process's own root.
    mount_points = (line.split(" ", 5)[4:5] for line in _read(folder / "mountinfo").splitlines())
    # The mounts can be read where the root below cannot: see above.
    if [f"/{_FLATPAK_INFO}"] in mount_points:
        return True
    try:
        (folder / "root" / _FLATPAK_INFO).lstat()
    except (FileNotFoundError, PermissionError):
        return False
    return True


def _read(file: Path) -> str:
    """The contents of a file below /proc. Raises OSError, also for a file beyond any sane size."""
    with file.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(f"{file} is larger than any")
    return content.decode(errors="replace")
