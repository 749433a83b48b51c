"""The three that are measured: how each is signed in, started, and known to be ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from benchmarks.processes import Measured, start
from heliograph.demo.user import DemoUser
from support.program_starts import seen_environment

_HERE = Path(__file__).parent
_HELIOGRAPH = [sys.executable, "-c", "from heliograph.cli import main; main()"]
PEERS = Path(__file__).resolve().parents[2] / ".venv-bench"


class Contestant(Protocol):
    name: str

    def sign_in(self, user: DemoUser, home: Path, bus: str) -> None:
        """Once for each home. Raises RuntimeError if it cannot take part."""
        ...

    async def start(self, user: DemoUser, home: Path, bus: str) -> tuple[Measured, float]:
        """Running and listening; and after how many seconds."""
        ...


def environ(home: Path, bus: str) -> dict[str, str]:
    """Nothing of the person who measures, and no system bus, for each of them alike."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    places = {"CONFIG": ".config", "STATE": ".local/state", "CACHE": ".cache", "DATA": ".local/share"}
    for place in places.values():
        (home / place).mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        **seen_environment(),
        **{f"XDG_{name}_HOME": str(home / place) for name, place in places.items()},
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "DBUS_SESSION_BUS_ADDRESS": bus,
        # A desktop has one, too; without it Heliograph would look for it now and then.
        "DBUS_SYSTEM_BUS_ADDRESS": bus,
    }


class Floor:
    name = "floor"

    def sign_in(self, user: DemoUser, home: Path, bus: str) -> None:
        home.mkdir(parents=True, exist_ok=True)

    async def start(self, user: DemoUser, home: Path, bus: str) -> tuple[Measured, float]:
        session = {"HOMESERVER": user.base_url, "TOKEN": user.access_token}
        process = start([sys.executable, str(_HERE / "floor.py")], environ(home, bus) | session, home)
        return process, await process.wait_told("READY=1")


class Heliograph:
    """Ready when its status says `connected`: the first /sync was answered and committed."""

    name = "heliograph"

    def __init__(self, notes: Path | None = None) -> None:
        self._notes = notes

    def sign_in(self, user: DemoUser, home: Path, bus: str) -> None:
        login = ["login", user.user_id, "--homeserver", user.base_url, "--access-token-stdin", "--secrets", "file"]
        done = subprocess.run(
            [*_HELIOGRAPH, *login],
            check=False,
            input=user.access_token.encode() + b"\n",
            env=environ(home, bus),
            capture_output=True,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError("login failed: " + (done.stdout + done.stderr).decode(errors="replace")[-1500:])

    async def start(self, user: DemoUser, home: Path, bus: str) -> tuple[Measured, float]:
        program = (
            _HELIOGRAPH if self._notes is None else [sys.executable, str(_HERE / "heartbeat.py"), str(self._notes)]
        )
        process = start([*program, "run"], environ(home, bus), home)
        return process, await process.wait_told(" connected", "=connected")


class MatrixCommander:
    """It does not say when it is ready; measured from its first notification of a message sent again and again."""

    name = "matrix-commander"

    def sign_in(self, user: DemoUser, home: Path, bus: str) -> None:
        if not (PEERS / "bin/matrix-commander").exists():
            raise RuntimeError("it cannot be installed here")
        store = home / "store"
        store.mkdir(parents=True, exist_ok=True)
        credentials = {
            "homeserver": user.base_url,
            "user_id": user.user_id,
            "device_id": user.device_id,
            "access_token": user.access_token,
            "room_id": "!unused:localhost",
        }
        (home / "credentials.json").write_text(json.dumps(credentials))

    async def start(self, user: DemoUser, home: Path, bus: str) -> tuple[Measured, float]:
        command = [str(PEERS / "bin/python"), str(PEERS / "bin/matrix-commander")]
        files = ["--credentials", str(home / "credentials.json"), "--store", str(home / "store")]
        # PYTHONPATH is for the interpreter of the others.
        clean = {name: value for name, value in environ(home, bus).items() if name != "PYTHONPATH"}
        process = start([*command, *files, "--listen", "forever", "--os-notify"], clean, home)
        return process, float("nan")


CONTESTANTS: tuple[type[Contestant], ...] = (Floor, Heliograph, MatrixCommander)
