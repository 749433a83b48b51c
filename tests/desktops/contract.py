"""The contract of notification servers, played on the real one of the session: the suite that fakes are held to."""

from __future__ import annotations

import json
import shlex

from desktops.desktop import Wrong
from desktops.machine import NOTIFICATIONS, RUNTIME
from desktops.scene import Scene
from desktops.tree import PROGRAMS
from system.systemd_box import REPOSITORY

_SUITE = "tests/contract/test_notification_server.py"
_CLICKED = ("gnome-shell",)
"""Servers whose state can be reached by `support.session_server`, so that its tests can click there."""
_LAST_LINES = 60
_SUITE_S = 900.0
_INFORMATION = f"{NOTIFICATIONS} /org/freedesktop/Notifications {NOTIFICATIONS} GetServerInformation"


async def contract(scene: Scene) -> None:
    """Heliograph is stopped for that, and the server is started anew, which gives ids from the beginning."""
    told = await scene.desktop.run(f"busctl --user --json=short call {_INFORMATION}")
    name = str(json.loads(told)["data"][0])
    await scene.machine.control_daemon("stop")
    await scene.desktop.restart_server()
    which = "session" if name in _CLICKED else "session and not TestTheUser"
    environment = {
        **{"SESSION_SERVER": name, "SESSION_BUS": f"unix:path={RUNTIME}/bus"},
        **{"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis"},
    }
    words = ["env", *(f"{key}={value}" for key, value in environment.items()), str(PROGRAMS / "python")]
    words += ["-m", "pytest", "-q", "-vv", "-p", "no:cacheprovider", _SUITE, "-k", which]
    line = f"cd {REPOSITORY} && {shlex.join(words)} 2>&1 && echo all passed"
    told = await scene.machine.user("sh", "-c", line, check=False, seconds=_SUITE_S)
    lines = told.strip().splitlines()
    if lines[-1] != "all passed":
        reasons = [line for line in lines if line.startswith(("E ", "FAILED"))]
        raise Wrong("\n    ".join([lines[-1], *reasons[-_LAST_LINES:]]))
