from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.system import systemd


def listen(address: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(5)
    return sock


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on."""
    if request.param == "file":
        monkeypatch.chdir(tmp_path)
        name = f"/tmp/{secrets.token_hex(8)}"
        sock = listen(name)
    else:
        name = f"@{secrets.token_hex(8)}"
        sock = listen("\0" + name[1:])
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with sock:
        yield sock
    Path(name).unlink(missing_ok=True)


def test_each_message_is_said_in_systemds_words(manager: socket.socket) -> None:
    systemd.ready("1 connected")
    systemd.status("two\nlines " + "x" * 1000)
    systemd.feed_watchdog()
    systemd.stopping()
    said = [manager.recv(4096).decode() for _ in range(4)]
    assert said[0] == "READY=1\nSTATUS=1 connected"
    assert said[1].startswith("STATUS=two lines xxx")
    assert len(said[1]) < 300
    assert said[2:] == ["WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/socket", "@nobody-listens-here", "/" + "x" * 300])
def test_without_systemd_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.ready("x")
    systemd.feed_watchdog()


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    for _ in range(10_000):
        systemd.feed_watchdog()


@pytest.mark.parametrize(
    ("environment", "patience_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "me"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
    ],
)
def test_the_units_patience_is_known(
    environment: dict[str, str], patience_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert systemd.watchdog_s() == patience_s
