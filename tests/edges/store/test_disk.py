"""A disk that is full, and one that cannot be written: real ones, in a mount namespace of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("ledger_child.py")


def run_mounted(mount: str, what: str, folder: Path) -> list[Any]:
    """What the child says in a namespace where `mount` ran before it."""
    command = f"{mount} && exec {shlex.join([sys.executable, str(CHILD), what, str(folder)])}"
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        [*namespace, "sh", "-c", command], check=False, capture_output=True, text=True, env=environment, timeout=60
    )
    assert (process.returncode, process.stderr) == (0, "")
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_a_full_disk_keeps_nothing_of_the_commit_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=2m tmpfs {shlex.quote(str(tmp_path))}"

    error, (acknowledged, token, kept), new, (last, last_token, last_kept) = run_mounted(mount, "full", tmp_path)

    assert "full" in error
    assert acknowledged > 0
    assert token == f"s{acknowledged}"
    assert kept == 49 * acknowledged + 1, "each commit rings 50 times and takes one of the commit before back"
    assert new == 50
    assert last == acknowledged + 1
    assert last_token == f"s{last}"
    assert last_kept == 49 * last + 1


def test_a_disk_without_any_room_says_so_at_opening(tmp_path: Path) -> None:
    quoted = shlex.quote(str(tmp_path))
    mount = f"mount -t tmpfs -o size=64k tmpfs {quoted} && (cat /dev/zero > {quoted}/ballast 2> /dev/null || true)"

    ((title, hint),) = run_mounted(mount, "open", tmp_path)

    assert str(tmp_path) in title
    assert hint


def test_a_disk_that_cannot_be_written_says_so_at_opening(tmp_path: Path) -> None:
    folder = tmp_path / "account"
    folder.mkdir(mode=0o700)
    quoted = shlex.quote(str(tmp_path))
    mount = f"mount --bind {quoted} {quoted} && mount -o remount,bind,ro {quoted}"

    for place in (folder, tmp_path / "other"):
        ((title, hint),) = run_mounted(mount, "open", place)

        assert str(place) in title
        assert "Read-only file system" in title
        assert "may write to" in hint


def test_a_file_in_the_folders_place_says_so_at_opening(tmp_path: Path) -> None:
    (tmp_path / "account").write_text("not a folder")

    for place in (tmp_path / "account", tmp_path / "account" / "below"):
        ((title, hint),) = run_mounted("true", "open", place)

        assert str(place) in title
        assert "may write to" in hint
