"""Sockets that systemd passes on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from heliograph.system.activation import take_sockets
from support.activated import activated

SCRIPT = (
    "import json, os; from heliograph.system.activation import take_sockets\n"
    "taken = take_sockets()\n"
    "print(json.dumps([[each.getsockname()[1] for each in taken], [os.get_inheritable(e.fileno()) for e in taken],"
    " len(take_sockets())]))"
)


def test_the_sockets_of_the_unit_are_taken_once_and_not_passed_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        fd = server.fileno()
        told = subprocess.run(
            activated(fd, [sys.executable, "-c", SCRIPT]),
            pass_fds=(fd,),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            check=True,
        ).stdout
        assert json.loads(told) == [[server.getsockname()[1]], [False], 0]


@pytest.mark.parametrize("pid", ["", "1", "no number"])
def test_those_of_another_process_are_left_alone(pid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", pid)
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert take_sockets() == []
