"""A machine of its own: systemd as PID 1 in fresh namespaces, over a throwaway copy of this machine's files, or of a
tree's.

Nothing that happens in it reaches the files, units or processes outside; only the loopback network is shared, so that a
homeserver of the tests can be reached. It needs root (CAP_SYS_ADMIN).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.log_guard import current_guard
from support.program_starts import seen_environment

REPOSITORY = Path(__file__).parents[2]
USER = "boxed"
UID = 43210
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_S = 60.0
COMMAND_S = 120.0
_LEVELS = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
"""By the journal's priorities."""

# Its devices are the harmless ones: no disk, no terminal. To suspend, systemd writes to sys/power/state: not to the
# machine's.
_BOOT = r"""
set -e
mount -t tmpfs box "$BOX/mount"
cd "$BOX/mount"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=upper,workdir=work" root
cd root
mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do : > "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in $SHARED; do mkdir -p ".$folder"; mount --bind "$folder" ".$folder"; done
for folder in $PASSABLE; do chmod o+x ".$folder"; done
mkdir -p old run/box
mount --bind "$BOX/told" run/box
echo freeze mem > tmp/power-state
mount --bind tmp/power-state sys/power/state
rm -rf etc/systemd/system/*.wants etc/systemd/user/*.wants
: > etc/fstab
systemd-id128 new > etc/machine-id
useradd --root "$PWD" --uid "$BOX_UID" --create-home --home-dir "/home/$BOX_USER" --shell /bin/sh "$BOX_USER"
sleep=etc/systemd/system/systemd-suspend.service.d
mkdir -p "$sleep"
printf '[Service]\nExecStart=\nExecStart=/bin/sleep 1\n' > "$sleep/pretend.conf"
cat > etc/systemd/system/box-ready.service <<UNIT
[Unit]
After=systemd-logind.service dbus.service
Wants=systemd-logind.service
[Service]
Type=oneshot
ExecStart=/bin/touch /run/box/ready
UNIT
mkdir -p etc/systemd/system/multi-user.target.wants
ln -s ../box-ready.service etc/systemd/system/multi-user.target.wants/
pivot_root . old
umount --lazy /old
exec env -i container=box "PATH=$SYSTEM_PATH" /lib/systemd/systemd --log-target=console systemd.unit=multi-user.target
"""


class SystemdBox:
    """`shared` folders are the same inside and outside, beside this repository and its Python.

    `lower` is the root of the files that are seen through the copy. Where that is not this machine's, this Python is
    left outside, and `programs` is the folder there in which Heliograph's commands are.
    """

    def __init__(self, *shared: Path, lower: Path = Path("/"), programs: Path = Path(sys.executable).parent) -> None:
        copies = current_guard().copies
        assert copies is not None
        lent = _program_folders() if lower == Path("/") else (REPOSITORY,)
        self._shared = (*lent, copies, *shared)
        self._lower = lower
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="box."))
        self._cgroup = _cgroup_root() / self._folder.name
        self._launcher: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @staticmethod
    def program(name: str) -> str:
        """The path of a command that is installed beside this Python."""
        return str(Path(sys.executable).parent / name)

    def __enter__(self) -> SystemdBox:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Boots it. Raises AssertionError with the console's text if that fails."""
        for name in ("mount", "told"):
            (self._folder / name).mkdir()
        self._cgroup.mkdir()
        console = (self._folder / "console").open("wb")
        with console:
            self._launcher = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(self._cgroup)),
                    *("unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child"),
                    *("--propagation", "private", "sh", "-c", _BOOT),
                ],
                env={
                    "PATH": os.environ["PATH"],
                    "SYSTEM_PATH": SYSTEM_PATH,
                    "BOX": str(self._folder),
                    "LOWER": str(self._lower),
                    "BOX_USER": USER,
                    "BOX_UID": str(UID),
                    "SHARED": " ".join(map(str, self._shared)),
                    "PASSABLE": " ".join(_passable(self._shared)),
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        deadline = time.monotonic() + BOOT_S
        while not (self._folder / "told/ready").exists():
            is_over = self._launcher.poll() is not None or time.monotonic() > deadline
            assert not is_over, f"systemd did not boot: {self._console()}"
            time.sleep(0.02)
        self._pid = _child(self._launcher.pid)

    def stop(self) -> None:
        """Ends everything in it. What Heliograph's units logged is under the test's guard."""
        if self._pid is not None:
            current_guard().watch_text("journal", self._log_of_units())
        if self._launcher is not None:
            if self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)
            else:
                self._launcher.kill()
            self._launcher.wait(10)
            self._launcher = None
        deadline = time.monotonic() + 10
        while self._cgroup.exists() and time.monotonic() < deadline:
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    time.sleep(0.05)
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *words: str, check: bool = True, timeout_s: float = COMMAND_S) -> str:
        """What the command wrote, as root inside. Raises AssertionError unless it ended with 0."""
        return self._run(words, {"PATH": SYSTEM_PATH, "HOME": "/root"}, check, timeout_s)

    def run_as_user(
        self,
        *words: str,
        check: bool = True,
        timeout_s: float = COMMAND_S,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """The same as the user, whose user manager must run (`log_in`)."""
        runtime = f"/run/user/{UID}"
        variables = {
            "PATH": f"{self._programs}:{SYSTEM_PATH}",
            "HOME": f"/home/{USER}",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": runtime,
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
            **(environment or {}),
        }
        identity = ("setpriv", "--reuid", str(UID), "--regid", str(UID), "--init-groups")
        return self._run((*identity, *words), variables, check, timeout_s)

    def log_in(self) -> str:
        """Opens a graphical session of the user, as a display manager does; its id, as loginctl has it."""
        self.run(
            *("systemd-run", "--quiet", "--unit=login", "--property=PAMName=login", f"--property=User={USER}"),
            *("--setenv=XDG_SESSION_TYPE=wayland", "--setenv=XDG_SESSION_CLASS=user"),
            *("sleep", "infinity"),
        )
        deadline = time.monotonic() + BOOT_S
        while True:
            told = self.run("loginctl", "--no-legend", "list-sessions", check=False).split()
            if told and self._has_user_bus():
                return told[0]
            assert time.monotonic() < deadline, "the user's session did not begin"
            time.sleep(0.05)

    def log_out(self) -> None:
        """Ends that session."""
        self.run("systemctl", "stop", "login.service")

    def _has_user_bus(self) -> bool:
        return bool(self.run("sh", "-c", f"test -S /run/user/{UID}/bus && echo yes", check=False))

    def _run(self, words: Sequence[str], environment: Mapping[str, str], check: bool, timeout_s: float) -> str:
        assert self._pid is not None
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), *("-m", "-p", "-u", "-i", "-C", "--"), *words],
            env={**environment, **seen_environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {output}"
        return output

    def _log_of_units(self) -> str:
        """As the same programs write it to a file."""
        lines = self.run("journalctl", "--quiet", "--no-pager", "--output=json").splitlines()
        records = map(json.loads, filter(lambda line: '"heliograph' in line, lines))
        return "\n".join(
            f"2024-01-01 00:00:00 {_LEVELS[int(record['PRIORITY'])]}: {record['MESSAGE']}"
            for record in records
            if record.get("_SYSTEMD_USER_UNIT", record.get("_SYSTEMD_UNIT", "")).startswith("heliograph")
        )

    def _console(self) -> str:
        return (self._folder / "console").read_text(errors="replace")[-4000:]


def _program_folders() -> tuple[Path, ...]:
    """What lies under the system's own folders is seen through the overlay anyway, but /tmp and /run are not."""
    packages = (Path(entry) for entry in sys.path)
    return (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), *(each for each in packages if each.is_dir()))


def _passable(folders: Sequence[Path]) -> list[str]:
    """The folders above them, which the user has to pass."""
    above = {str(parent) for folder in folders for parent in (folder, *folder.parents)}
    return sorted(above - {"/"})


def _cgroup_root() -> Path:
    hybrid = Path("/sys/fs/cgroup/unified")
    return hybrid if hybrid.is_dir() else Path("/sys/fs/cgroup")


def _child(pid: int) -> int:
    """The first process of the new PID namespace; `unshare` waits for it."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
