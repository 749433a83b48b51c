"""The notification server of the session that the tests run in, which `tests/desktops/run --contract` names.

    SESSION_SERVER=gnome-shell SESSION_BUS=unix:path=... pytest tests/contract/test_notification_server.py

Without these there is none, and the contract is played on fakes and on servers that tests start.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

NAME = os.environ.get("SESSION_SERVER")
"""What the server calls itself. None: the session's is not to be tried."""
BUS = os.environ.get("SESSION_BUS", "")

# Those of the tests: the shell has its own, which tells that it may be asked.
_EACH = "Main.messageTray.getSources().flatMap(source => source.notifications).filter(each => each.title === 'Lunch')"
_COUNT = f"{_EACH}.length"


class ShellHands:
    """GNOME Shell's own state, run with --unsafe-mode. All that it keeps counts as on screen: banners take turns."""

    def count(self) -> int:
        return int(_evaluate(_COUNT))

    def choose(self, _popup_id: int) -> None:
        """The only button of the only notification."""
        _evaluate(f"{_EACH}[0].actions[0].activate(); 0")

    def dismiss(self, _popup_id: int) -> None:
        # DISMISSED
        _evaluate(f"{_EACH}[0].destroy(2); 0")


def _evaluate(script: str) -> Any:
    words = ("org.gnome.Shell", "/org/gnome/Shell", "org.gnome.Shell", "Eval", "s", script)
    done = subprocess.run(
        ["busctl", f"--address={BUS}", "--json=short", "call", *words],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    is_done, answer = json.loads(done.stdout)["data"]
    assert is_done, answer
    return json.loads(answer) if answer else None
