"""Commands on a full disk and on one that cannot be written: real ones, in a mount namespace of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Home
from edges.cli.conftest import Shell
from edges.cli.test_inbox_command import OTHER_ROOM, fill_ledger, sign_in
from heliograph.accounts import cache_root, config_file, state_folder
from heliograph.system.whole_file import replace_file
from support.builders import ME, ROOM, make_delivery

expected_log = pytest.mark.expected_log

PROGRAM = shlex.join([sys.executable, "-m", "heliograph"])
NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


def run_on(disk: str, home: Home, *script: str) -> subprocess.CompletedProcess[str]:
    """Runs the lines with the test's home folder on such a disk: full, or read-only."""
    folder = shlex.quote(str(home.path))
    make = {
        "full": f"cp -a {folder} {folder}.copy && mount -t tmpfs -o size=1m,mode=700 tmpfs {folder} && "
        f"cp -a {folder}.copy/. {folder} && (cat /dev/zero > {folder}/ballast 2> /dev/null || true)",
        "read-only": f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}",
    }
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
    return subprocess.run(
        [*NAMESPACE, "sh", "-c", "\n".join((make[disk], *script))],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def assert_two_sentences(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode in (1, 78)
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["Error", "Try"]


def number_lunch(home: Home, shell: Shell) -> str:
    """Lunch has the number 3, and something newer is unread in another room. The file that says so."""
    sign_in()
    fill_ledger(ME, make_delivery("$a"), make_delivery("$b", room_id=OTHER_ROOM))
    cache_root().mkdir(parents=True)
    (cache_root() / "inbox.json").write_text(json.dumps([[ME, ROOM, 3]]))
    return shlex.quote(str(cache_root() / "inbox.json"))


@pytest.mark.parametrize(("disk", "why"), [("full", "No space left on device"), ("read-only", "Read-only file system")])
def test_the_inbox_is_listed_and_its_numbers_stay(disk: str, why: str, home: Home, shell: Shell) -> None:
    file = number_lunch(home, shell)

    done = run_on(disk, home, f"{PROGRAM} inbox && cat {file}")

    assert done.returncode == 0
    new, known, kept = done.stdout.splitlines()
    assert new.startswith("-"), "a number that is not kept may soon mean another room"
    assert known.startswith("3")
    assert json.loads(kept) == [[ME, ROOM, 3]]
    assert done.stderr.startswith("Numbers of new rooms could not be kept: ")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_an_inbox_without_anything_new_has_nothing_to_complain_of(disk: str, home: Home, shell: Shell) -> None:
    number_lunch(home, shell)
    assert shell.run("inbox").exit_code == 0

    done = run_on(disk, home, f"{PROGRAM} inbox")

    assert [line[0] for line in done.stdout.splitlines()] == ["4", "3"]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_what_only_reads_works_all_the_same(disk: str, home: Home, shell: Shell) -> None:
    sign_in()
    fill_ledger(ME, make_delivery("$a"))

    done = run_on(disk, home, f"{PROGRAM} history && {PROGRAM} accounts && {PROGRAM} config > /dev/null")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Lunch" in done.stdout


def test_what_cannot_be_read_is_not_taken_for_nothing(home: Home, shell: Shell) -> None:
    sign_in()
    folder = state_folder(ME)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ledger.db").write_bytes(b"no database" * 1000)
    result = shell.run("inbox")
    assert f"What {ME} has unread is not known: " in result.stderr


FALLBACK = '[fallback]\ngateway = "https://push.example.org/_matrix/push/v1/notify"\npushkey = "key"\n'


@pytest.mark.parametrize(
    ("disk", "command"),
    [
        ("read-only", "history clear"),
        pytest.param("read-only", "run", marks=expected_log("daemon error: .* cannot run: .*Read-only file system")),
        pytest.param("read-only", f"logout {ME} --force", marks=expected_log("Warning: the account's secret stays in")),
        ("read-only", "fallback remove"),
        ("full", "fallback remove"),
    ],
)
def test_what_would_have_to_write_says_so_and_changes_nothing(disk: str, command: str, home: Home) -> None:
    sign_in()
    fill_ledger(ME, make_delivery("$a"))
    config_file().parent.mkdir(parents=True)
    config_file().write_text(FALLBACK)

    done = run_on(disk, home, f"{PROGRAM} {command}; code=$?; cat {config_file()}; {PROGRAM} history; exit $code")

    assert done.returncode in (1, 78)
    assert "Traceback" not in done.stderr
    assert [line.split(":")[0] for line in done.stderr.splitlines()[-2:]] == ["Error", "Try"]
    assert FALLBACK in done.stdout
    assert "Lunch" in done.stdout


@expected_log(r"command output: Traceback(.*\n)*OSError: \[Errno (28|30)\]")
@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_a_file_is_whole_or_as_it_was_with_nothing_beside_it(disk: str, home: Home) -> None:
    file = home.config / "precious"
    file.write_text("before")
    code = "from heliograph.system.whole_file import *; import sys; replace_file(Path(sys.argv[1]), b'x' * 2**21)"
    program = shlex.join([sys.executable, "-c", code, str(file)])

    done = run_on(disk, home, f"{program}; ls -A {home.config}; cat {file}")

    assert done.stdout == "precious\nbefore"


def test_a_file_bears_the_mode_that_was_asked_for(home: Home) -> None:
    file = home.path / "file"
    for mode in (0o600, 0o644):
        replace_file(file, b"content", mode)
        assert file.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("command", ["man", "--help", "inbox --help", "completion bash", "config", "accounts --json"])
def test_an_output_that_takes_nothing_is_said_in_two_sentences(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "heliograph", *command.split()],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert_two_sentences(done)
    assert "No space left on device" in done.stderr
