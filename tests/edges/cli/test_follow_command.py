"""`heliograph status --follow`, as bars run it: a process of its own behind a pipe."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from edges.cli.conftest import Shell
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from heliograph.core.popups.quiet import word_until
from heliograph.core.summary.summary import UNTIL_RESUMED, RoomCount, Summary
from heliograph.system.time_zone import LocalZone
from support.builders import ME, ROOM
from support.buses import PrivateBus
from support.waiting import has_ended

SOME = Summary(state="connected", unread=2, rooms=(RoomCount(ME, ROOM, "Lunch <b>", 2, 0),))
NONE = Summary(state="connected")
FOLLOW = [sys.executable, "-m", "heliograph", "status", "--follow", "--format"]


class Follower:
    """The command, and the lines that it wrote so far."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def stop(self) -> None:
        """Ends it, if it has not ended by itself."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.decode().rstrip("\n"))

    def line(self) -> str:
        """The next."""
        try:
            return self._lines.get(timeout=15)
        except Empty:
            raise AssertionError("no line came") from None


@pytest.fixture
def followers() -> Iterator[list[Follower]]:
    started: list[Follower] = []
    yield started
    for each in started:
        each.stop()


def wait_until_ended(pid: int, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not has_ended(pid):
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.01)


def test_a_line_comes_at_once_and_for_every_change(private_bus: PrivateBus, followers: list[Follower]) -> None:
    with FakeDaemon(private_bus, FakeAnswers(), SOME) as daemon:
        follower = Follower(*FOLLOW, "{text} {state}")
        followers.append(follower)
        assert follower.line() == "2 connected"
        daemon.publish(NONE)
        assert follower.line() == " connected"
        daemon.publish(Summary(state="offline"))
        assert follower.line() == "! offline"


def test_a_change_that_the_line_does_not_show_writes_nothing(
    private_bus: PrivateBus, followers: list[Follower]
) -> None:
    with FakeDaemon(private_bus, FakeAnswers(), NONE) as daemon:
        follower = Follower(*FOLLOW, "{unread}")
        followers.append(follower)
        assert follower.line() == "0"
        daemon.publish(Summary(state="offline"))
        daemon.publish(SOME)
        assert follower.line() == "2"


def test_it_outlives_the_daemon_and_the_bus(private_bus: PrivateBus, followers: list[Follower]) -> None:
    follower = Follower(*FOLLOW, "{state}")
    followers.append(follower)
    assert follower.line() == "stopped"
    with FakeDaemon(private_bus, FakeAnswers(), NONE):
        assert follower.line() == "connected"
    assert follower.line() == "stopped"
    private_bus.stop()
    private_bus.start()
    with FakeDaemon(private_bus, FakeAnswers(), NONE):
        assert follower.line() == "connected"


def test_it_ends_when_nobody_reads(private_bus: PrivateBus) -> None:
    follower = subprocess.Popen([*FOLLOW, "waybar"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["class"] == ["offline", "stopped"]
    follower.stdout.close()
    assert follower.wait(15) == 0
    assert follower.stderr is not None
    with follower.stderr as complaints:
        assert complaints.read() == b""


def test_it_ends_with_the_bar_even_if_another_program_holds_the_pipe(private_bus: PrivateBus) -> None:
    reader, writer = os.pipe()
    bar = subprocess.Popen(
        [sys.executable, "-c", BAR, *FOLLOW, "waybar"], stdout=writer, stderr=subprocess.DEVNULL, pass_fds=[writer]
    )
    os.close(writer)
    with os.fdopen(reader) as lines:
        pid = int(lines.readline())
        assert "stopped" in lines.readline()
        bar.send_signal(signal.SIGKILL)
        bar.wait()
        wait_until_ended(pid)


BAR = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
time.sleep(60)
"""


def test_a_reader_that_stopped_gets_the_newest_line_and_costs_no_memory(private_bus: PrivateBus) -> None:
    many = tuple(RoomCount(ME, f"!{number}", "x" * 60, 1, 0) for number in range(50))
    with FakeDaemon(private_bus, FakeAnswers(), NONE) as daemon:
        follower = subprocess.Popen([*FOLLOW, "json"], stdout=subprocess.PIPE)
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["unread"] == 0
        for number in range(1, 301):
            daemon.publish(Summary(state="connected", unread=number, rooms=many))
            time.sleep(0.002)
        seen = 0
        while seen != 300:
            seen = json.loads(follower.stdout.readline())["unread"]
        follower.stdout.close()
        assert follower.wait(15) == 0


def test_a_terminal_gets_its_lines_too(private_bus: PrivateBus) -> None:
    controller, terminal = pty.openpty()
    follower = subprocess.Popen([*FOLLOW, "{state}"], stdout=terminal, stdin=subprocess.DEVNULL)
    os.close(terminal)
    try:
        assert select.select([controller], [], [], 15)[0]
        assert os.read(controller, 100).split() == [b"stopped"]
    finally:
        follower.terminate()
        follower.wait(15)
        os.close(controller)


def test_a_file_gets_its_lines_and_an_interrupt_ends_it(private_bus: PrivateBus, tmp_path: Path) -> None:
    with (tmp_path / "lines").open("wb") as file:
        follower = subprocess.Popen([*FOLLOW, "{state}"], stdout=file, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 15
        while not (tmp_path / "lines").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(15) == 130
        assert follower.stderr is not None
        with follower.stderr as complaints:
            assert b"Traceback" not in complaints.read()
    assert (tmp_path / "lines").read_text() == "stopped\n"


def test_without_follow_it_is_the_line_of_the_moment(shell: Shell, private_bus: PrivateBus) -> None:
    assert shell.run("status", "--format", "{state}").stdout == "stopped\n"
    with FakeDaemon(private_bus, FakeAnswers(), SOME):
        result = shell.run("status", "--format", "waybar")
    assert json.loads(result.stdout)["tooltip"] == "2 unread\nLunch &lt;b&gt;: 2"
    assert result.exit_code == 0


def test_without_a_bus_that_answers_it_is_stopped(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
    assert shell.run("status", "--format", "{state}").stdout == "stopped\n"


def test_without_a_session_there_is_nothing_to_hear(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    result = shell.run("status", "--follow")
    assert result.exit_code == 1
    assert "There is no session bus." in result.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--format", "wayland"], "Formats are waybar, polybar"),
        (["--follow", "--format", "{x}"], "there is no field {x}"),
        (["--follow", "--json"], "use --format json"),
    ],
)
def test_a_wrong_format_is_a_usage_error(shell: Shell, words: list[str], why: str) -> None:
    result = shell.run("status", *words)
    assert result.exit_code == 2
    assert why in result.stderr


NOON_MS = 1_763_640_000_000


@pytest.mark.parametrize(
    ("until_ms", "words"),
    [
        (UNTIL_RESUMED, "until resumed"),
        (0, ""),
        (NOON_MS + 3_600_000, "until 13:00"),
        (NOON_MS + 48 * 3_600_000, "until 2025-11-22 12:00"),
        (10**18, ""),
    ],
)
def test_the_end_of_quiet_is_a_time_of_day(until_ms: int, words: str, set_time_zone: Callable[[str], None]) -> None:
    set_time_zone("UTC0")
    assert word_until(until_ms, NOON_MS, LocalZone()) == words


def test_the_end_of_a_pause_is_in_the_tooltip(shell: Shell, private_bus: PrivateBus) -> None:
    paused: dict[str, Any] = {"quiet_why": "paused", "quiet_until_ms": UNTIL_RESUMED}
    with FakeDaemon(private_bus, FakeAnswers(), Summary(state="connected", **paused)):
        assert shell.run("status", "--format", "{text} {tooltip}").stdout == "z Nothing unread; Paused until resumed\n"
