"""A D-Bus message bus of a test's own, on which nothing installed on this machine can be activated."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <keep_umask/>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{folder}/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """A dbus-daemon that lives as long as the `with` block, or the test run if that is shorter.

    Its address stays the same over `stop` and `start`. Files put into `services` make names activatable.
    """

    def __init__(self) -> None:
        # Not pytest's tmp_path: the path of a socket may have 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="heliograph-bus-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"unix:path={self._folder}/bus"
        self.services = self._folder / "services"
        self.services.mkdir()
        (self._folder / "bus.conf").write_text(_CONFIG.format(folder=self._folder))

    def __enter__(self) -> PrivateBus:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        """For programs that shall use this bus."""
        return {**os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address}

    def start(self) -> None:
        """Returns when it accepts connections."""
        path = self._folder / "bus"
        path.unlink(missing_ok=True)
        command = ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={self._folder}/bus.conf"]
        with (self._folder / "bus.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + 10
        while not _accepts(path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("dbus-daemon did not start: " + (self._folder / "bus.log").read_text())
            time.sleep(0.005)

    def has_owner(self, name: str) -> bool:
        """Whether somebody has this name."""
        call = (
            "gdbus",
            "call",
            "--session",
            "--dest",
            "org.freedesktop.DBus",
            "--object-path",
            "/org/freedesktop/DBus",
        )
        method = ("--method", "org.freedesktop.DBus.NameHasOwner", name)
        done = subprocess.run(
            [*call, *method], check=False, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=20
        )
        return b"true" in done.stdout

    def stop(self) -> None:
        """As when the session ends: every connection is cut."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait(5)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
