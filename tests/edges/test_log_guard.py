"""The tests' own guard over the logs of the programs that they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.log_findings import findings
from support.log_guard import LogGuard, current_guard, guarded, watching

FINE = "2024-05-01 12:00:00 info: all is well"
WARNING = "2024-05-01 12:00:01 warning: the disk is full"
ERROR = """\
2024-05-01 12:00:02 error: Unexpected fault
    Traceback (most recent call last):
      File "x.py", line 1, in x
    ValueError: of no value"""
RAW = """\
Traceback (most recent call last):
  File "x.py", line 1, in x
ValueError: of no value"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "daemon.log"
    file.write_text(f"{WARNING}\n")
    return file


@pytest.fixture
def write(log: Path) -> Callable[[str], None]:
    def append(text: str) -> None:
        with log.open("a") as stream:
            stream.write(f"{text}\n")

    return append


def test_a_log_in_order_holds_nothing() -> None:
    assert findings(f"{FINE}\n{FINE}: warning: of a stranger\n") == []


def test_warnings_and_errors_are_found_with_what_belongs_to_them() -> None:
    found = findings(f"{FINE}\n{ERROR}\n{FINE}\n{WARNING}\n")
    assert found[0].startswith("error: Unexpected fault\n    Traceback")
    assert found[0].endswith("ValueError: of no value")
    assert found[1:] == ["warning: the disk is full"]


@pytest.mark.parametrize(
    "complaint",
    [
        RAW,
        "--- Logging error ---",
        "x.py:1: ResourceWarning: unclosed socket",
        "sys:1: RuntimeWarning: coroutine 'f' was never awaited",
        "Exception ignored in: <function f>",
        "Fatal Python error: Segmentation fault",
    ],
)
def test_what_is_written_past_the_log_is_found(complaint: str) -> None:
    (found,) = findings(f"{FINE}\nsome words\n{complaint}\n{FINE}\n")
    assert found == f"output: {complaint}"


def test_a_traceback_in_a_line_without_alarm_is_found() -> None:
    (found,) = findings(ERROR.replace("error:", "info:"))
    assert "ValueError" in found


def test_a_log_in_json_is_read_too() -> None:
    records = [
        {"time": "2024", "level": "info", "message": "all is well"},
        {"time": "2024", "level": "error", "message": "it broke", "traceback": RAW},
    ]
    assert findings("\n".join(map(json.dumps, records))) == [f"error: it broke\n{RAW}"]


def test_only_what_is_written_from_now_on_counts(log: Path, write: Callable[[str], None]) -> None:
    guard = LogGuard()
    guard.watch("daemon", log)
    write(FINE)
    guard.watch("daemon", log)
    assert guard.complaints() == []
    write(WARNING)
    assert guard.complaints() == ["daemon warning: the disk is full"]


@pytest.mark.parametrize("text", [WARNING, ERROR, RAW])
def test_what_nobody_announced_is_a_complaint(log: Path, write: Callable[[str], None], text: str) -> None:
    guard = LogGuard()
    guard.watch("daemon", log)
    guard.expect("another disk is full", times=(0, None))
    write(text)
    assert len(guard.complaints()) == 1


def test_what_was_announced_is_none(log: Path, write: Callable[[str], None]) -> None:
    guard = LogGuard()
    guard.watch("daemon", log)
    guard.expect("^daemon warning: the disk is full$")
    guard.expect("of no value$")
    write(WARNING)
    write(ERROR)
    assert guard.complaints() == []


def test_more_than_was_announced_is_a_complaint(log: Path, write: Callable[[str], None]) -> None:
    guard = LogGuard()
    guard.watch("daemon", log)
    guard.expect("the disk is full", times=(1, 2))
    for _ in range(3):
        write(WARNING)
    assert guard.complaints() == ["daemon warning: the disk is full"]


def test_an_announced_warning_that_never_comes_is_a_complaint(log: Path) -> None:
    guard = LogGuard()
    guard.watch("daemon", log)
    guard.expect("the disk is full")
    guard.expect("the network is down", times=(0, 1))
    assert guard.complaints() == ["announced and did not come, or 0 times instead of 1: the disk is full"]


def test_a_run_fails_at_its_end(log: Path, write: Callable[[str], None]) -> None:
    def run() -> None:
        with guarded() as guard:
            assert current_guard() is guard
            guard.watch("daemon", log)
            write(WARNING)

    with pytest.raises(AssertionError, match="daemon warning: the disk is full"):
        run()
    assert current_guard().complaints() == []


def test_a_run_that_fails_otherwise_tells_how(log: Path, write: Callable[[str], None]) -> None:
    def run() -> None:
        with guarded() as guard:
            guard.watch("daemon", log)
            write(WARNING)
            raise KeyError

    with pytest.raises(KeyError):
        run()


DEMO = """\
import logging, sys
from heliograph import cli, demo

async def run_demo(stay):
    logging.getLogger("heliograph").warning("the disk is full")
    return 0

demo.run_demo = run_demo
sys.argv = ["heliograph", "demo"]
cli.main()
"""
COMMAND = """\
from heliograph import accounts, cli
raise ValueError("of no value")
"""


@pytest.mark.parametrize(
    ("program", "complaint"),
    [(DEMO, "demo warning: the disk is full"), (COMMAND, "command output: Traceback (most recent call last):")],
)
@pytest.mark.parametrize("way", [(), ("sh", "-c", '"$@"; true', "sh")], ids=["itself", "deep below"])
def test_programs_are_seen_wherever_their_output_goes(way: tuple[str, ...], program: str, complaint: str) -> None:
    with watching() as guard:
        subprocess.run([*way, sys.executable, "-c", program], stderr=subprocess.DEVNULL, check=False, timeout=60)
    (found,) = guard.complaints()
    assert found.splitlines()[0] == complaint


def test_a_log_that_is_watched_does_not_count_twice(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with watching() as guard, log.open("wb") as stream:
        guard.watch("daemon", log)
        subprocess.run([sys.executable, "-c", DEMO], stderr=stream, check=False, timeout=60)
    (found,) = guard.complaints()
    assert found == "daemon warning: the disk is full"


def test_what_other_programs_write_is_nothing_to_us() -> None:
    with watching() as guard:
        subprocess.run([sys.executable, "-c", "raise KeyError"], stderr=subprocess.DEVNULL, check=False, timeout=60)
    assert guard.complaints() == []


@pytest.mark.parametrize("lacking", ["LOG_GUARD", "PYTHONPATH"])
@pytest.mark.parametrize("words", [("-m", "heliograph", "--version"), ("-c", "import heliograph")])
def test_to_start_a_program_where_it_is_not_seen_is_a_complaint(lacking: str, words: tuple[str, ...]) -> None:
    with watching() as guard:
        environment = {name: value for name, value in os.environ.items() if name != lacking}
        subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, check=True, timeout=60)
    (found,) = guard.complaints()
    assert found.startswith("started where the guard does not see it: ")


CONFTEST = "from support.log_guard_plugin import *\n"
TESTS = f"""\
import pytest
from support.log_guard import current_guard

def warn(folder):
    log = folder / "x.log"
    current_guard().watch("daemon", log)
    log.write_text({WARNING!r})

def test_that_warns(tmp_path):
    warn(tmp_path)

@pytest.mark.expected_log("the disk is full")
def test_that_announces(tmp_path):
    warn(tmp_path)

def test_that_announces_later(tmp_path, expect_log):
    expect_log("the disk is full", times=(1, None))
    warn(tmp_path)

@pytest.mark.expected_log("the disk is full", times=2)
def test_that_announces_too_much(tmp_path):
    warn(tmp_path)

def test_that_fails_otherwise(tmp_path, expect_log):
    expect_log("the disk is full")
    warn(tmp_path)
    raise KeyError
"""


def test_every_test_is_guarded_and_shows_the_logs_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    program = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [*program, "--confcutdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ERROR", "FAILED"))]
    # In CI pytest says why behind each name.
    assert [f"{line.split()[0]} {line.split('::')[1].partition(' - ')[0]}" for line in lines] == [
        "ERROR test_that_warns",
        "ERROR test_that_announces_too_much",
        "FAILED test_that_fails_otherwise",
    ], done.stdout
    assert "daemon warning: the disk is full" in done.stdout
    assert done.stdout.count("- log of the daemon -") == 3
