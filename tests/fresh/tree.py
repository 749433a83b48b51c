"""A bare Debian in a folder, and commands in it as on a machine of its own. It needs root and mmdebstrap."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fresh.lent import apt_options, find_mirror, lend_environment, lend_files
from fresh.terminal import type_into

REPOSITORY = Path(__file__).parents[2]
USER = "ada"
BOOT_S = 120.0
_MAKE_S = 900
_END_S = 20.0
_MARK = "/.fresh"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# sudo is no part of what is tried: the documentation's lines name it.
_PACKAGES = "ca-certificates,sudo"
_SET_UP = """\
set -e
export DEBIAN_FRONTEND=noninteractive
touch /.fresh
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/fresh
update-ca-certificates >/dev/null 2>&1
echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections
apt-get update -qq
useradd --create-home --shell /bin/bash ada
printf 'ada ALL=(ALL) NOPASSWD: ALL\\nDefaults env_keep += "%s"\\n' "$LENT" >/etc/sudoers.d/fresh
"""

# pivot_root and not chroot: in a chroot nobody may make user namespaces, which tests do. Devices are the harmless ones.
_ENTER = r"""
set -e
cd "$TREE"
mount --bind "$TREE" "$TREE"
cd "$TREE"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "dev/${n#*:}"; done
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
hostname fresh
mkdir -p .old
pivot_root . .old
cd /
umount --lazy /.old
rmdir /.old
exec "$@"
"""


def make_archive(suite: str, archive: Path) -> None:
    """The release's minimal file system, as tar."""
    mirror = find_mirror()
    options = [f"--aptopt={line}" for line in apt_options()]
    # Whoever stops it in between leaves nothing that would be taken for the whole one.
    unfinished = archive.with_suffix(".unfinished.tar")
    subprocess.run(
        [
            *("mmdebstrap", "--variant=minbase", "--mode=root", "--quiet", f"--include={_PACKAGES}", *options),
            *(suite, str(unfinished), *([mirror] if mirror else [])),
        ],
        check=True,
        timeout=_MAKE_S,
    )
    unfinished.rename(archive)


class Tree:
    """A context manager. `home` is the folder of whoever types, in which this checkout lies.

    A tree that was kept is entered again as it was left, with this checkout as it is now.
    """

    def __init__(self, archive: Path, folder: Path, user: str) -> None:
        self._archive = archive
        self._folder = folder
        self._user = user
        self._group = _groups() / f"fresh-{os.getpid()}-{folder.name}"
        self._leader: subprocess.Popen[bytes] | None = None
        self._console = folder.with_suffix(".console")
        self.home = "/root" if user == "root" else f"/home/{user}"
        self.checkout = f"{self.home}/heliograph"

    def __enter__(self) -> Tree:
        self._group.mkdir()
        if not self._folder.exists():
            self._make()
        self._copy_checkout()
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()
        deadline = time.monotonic() + _END_S
        while self._group.exists() and time.monotonic() < deadline:
            for folder, *_names in os.walk(self._group, topdown=False):
                # It is busy for as long as processes end.
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            time.sleep(0.1)

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self._folder)

    def type(self, line: str, *, log: Path, seconds: float, answers: Mapping[str, str]) -> int:
        """Has the user's shell run the line in a new terminal, in the checkout. The exit code; 124 if it took longer.

        A login shell that is interactive, too, so all the files that a shell of theirs may read have been read.
        """
        shell = ["/bin/bash", "-lic", f"cd {self.checkout} && {line}"]
        identity = ("setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--init-groups")
        environ = self._environment(lend_environment())
        if self._leader is None:
            command = self._entering("setsid", "--ctty", *identity, *shell)
        else:
            environ |= self._session()
            command = [*self._inside(), "setsid", "--ctty", *identity, *shell]
        return type_into(command, environ, log=log, seconds=seconds, answers=answers)

    def boot(self) -> None:
        """Starts its systemd, without a network but loopback, so that the ports which the README names are free there,
        and logs the user in. `type` then types there."""
        systemd = ("env", "-i", "container=fresh", f"PATH={_PATH}", "/lib/systemd/systemd", "--log-target=console")
        with self._console.open("wb") as console:
            self._leader = subprocess.Popen(
                self._entering(*systemd, unshared=("--net",)), stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        # Where it says so, the namespaces are no longer seen with this machine's files.
        self._until("boot", f"test -e {_MARK} && systemctl is-system-running --wait | grep -E 'running|degraded'")
        network = ("nsenter", "-t", str(_child(self._leader.pid)), "-n")
        subprocess.run([*network, "ip", "link", "set", "lo", "up"], check=True)
        # Newer systemd gives root a manager of units only where the session is of the ordinary class.
        properties = ("--property=PAMName=login", f"--property=User={self._user}", "--setenv=XDG_SESSION_CLASS=user")
        self._do("systemd-run", "--quiet", "--unit=login", *properties, "sleep", "infinity")
        self._until("log in", f"test -S {self._runtime()}/bus")

    def halt(self) -> None:
        """Ends everything that `boot` started."""
        if self._leader is not None:
            self._leader.kill()
            self._leader.wait(20)
            self._leader = None

    def write(self, file: str, text: str) -> None:
        """For the user to read."""
        place = self._folder / file.lstrip("/")
        place.write_text(text)
        place.chmod(0o755)

    def _make(self) -> None:
        self._folder.mkdir(parents=True)
        subprocess.run(
            ["tar", "--extract", "--file", self._archive, "--directory", self._folder, "--exclude=./dev/*"], check=True
        )
        lend_files(self._folder)
        environment = {"LENT": " ".join(lend_environment()), **lend_environment()}
        subprocess.run(self._entering("sh", "-c", _SET_UP), check=True, env=self._environment(environment), timeout=600)

    # How it is entered

    def _entering(self, *command: str, unshared: Sequence[str] = ()) -> list[str]:
        namespaces = ("--mount", "--pid", "--cgroup", "--uts", "--ipc", *unshared)
        return [
            *("setpriv", "--pdeathsig", "KILL", "sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', str(self._group)),
            *("unshare", *namespaces, "--fork", "--kill-child", "--propagation", "private"),
            *("env", f"TREE={self._folder}", "sh", "-c", _ENTER, "sh", *command),
        ]

    def _inside(self) -> list[str]:
        assert self._leader is not None
        return ["nsenter", "-t", str(_child(self._leader.pid)), "-m", "-p", "-u", "-i", "-n", "-C", "--"]

    def _environment(self, lent: Mapping[str, str]) -> dict[str, str]:
        own = {"PATH": _PATH, "HOME": self.home, "USER": self._user, "LOGNAME": self._user, "TERM": "dumb"}
        return {**lent, **own, "SHELL": "/bin/bash", "LANG": "C.UTF-8"}

    def _session(self) -> dict[str, str]:
        return {
            "XDG_RUNTIME_DIR": self._runtime(),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self._runtime()}/bus",
        }

    def _runtime(self) -> str:
        return f"/run/user/{self._do('id', '-u', self._user).strip()}"

    def _do(self, *words: str) -> str:
        command = [*self._inside(), *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=BOOT_S).stdout

    def _until(self, what: str, condition: str) -> None:
        """Returns when that command of the shell ended with 0. Raises RuntimeError."""
        deadline = time.monotonic() + BOOT_S
        while True:
            told = "its first process did not start"
            with contextlib.suppress(IndexError):
                command = [*self._inside(), "sh", "-c", condition]
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BOOT_S)
                if done.returncode == 0:
                    return
                told = done.stdout + done.stderr
            if self._leader is None or self._leader.poll() is not None or time.monotonic() > deadline:
                console = self._console.read_text(errors="replace")[-4000:]
                raise RuntimeError(f"it ended, or did not {what} within {BOOT_S:g} s: {told}\n{console}")
            time.sleep(0.1)

    def _copy_checkout(self) -> None:
        """What is committed, and what is going to be. What git ignores stays, such as an environment for the tests."""
        place = self._folder / self.checkout.lstrip("/")
        place.mkdir(exist_ok=True)
        listed = subprocess.run(
            ["git", "-C", REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        names = sorted({each.decode() for each in listed.split(b"\0") if each})
        for old in {place / Path(name).parts[0] for name in names}:
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        for name in names:
            if (REPOSITORY / name).exists():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, place / name)
        owner = (self._folder / self.home.lstrip("/")).stat()
        subprocess.run(["chown", "--recursive", f"{owner.st_uid}:{owner.st_gid}", place], check=True)


def _groups() -> Path:
    hybrid = Path("/sys/fs/cgroup/unified")
    return hybrid if hybrid.is_dir() else Path("/sys/fs/cgroup")


def _child(pid: int) -> int:
    """The first process of the namespace that `unshare` waits for."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
