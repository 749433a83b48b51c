"""The keys of a device that was signed out are kept aside for a day, and are back if the device is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from heliograph.encryption.olm.key_files import KEPT_MS, destroy, destroy_outdated, put_back, set_aside
from heliograph.errors import StateError
from support.peers import NOW, open_machine

HOUR_MS = 3_600_000
DEVICE = "D/../../\u202e😀" * 50
"""As a homeserver may name one."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "@me:example.org"
    folder.mkdir()
    make_keys(folder, "keys")
    return folder


def make_keys(folder: Path, content: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        (folder / f"crypto.db{suffix}").write_text(content)


def in_use(folder: Path) -> str | None:
    file = folder / "crypto.db"
    return file.read_text() if file.exists() else None


def kept(folder: Path) -> list[str]:
    return sorted(file.read_text() for file in folder.glob("*/crypto.db"))


def test_what_is_set_aside_is_whole_private_and_put_back_whole(folder: Path) -> None:
    set_aside(folder, DEVICE, NOW)
    assert in_use(folder) is None
    (aside,) = folder.iterdir()
    assert aside.stat().st_mode & 0o777 == 0o700
    assert len(list(aside.iterdir())) == 3
    assert put_back(folder, DEVICE)
    assert in_use(folder) == "keys"
    assert len(list(folder.glob("crypto.db*"))) == 3


def test_another_devices_keys_are_not_put_back(folder: Path) -> None:
    set_aside(folder, DEVICE, NOW)
    assert not put_back(folder, "E")
    assert in_use(folder) is None


def test_keys_in_use_are_not_overwritten(folder: Path) -> None:
    set_aside(folder, DEVICE, NOW)
    make_keys(folder, "new keys")
    assert not put_back(folder, DEVICE)
    assert (in_use(folder), kept(folder)) == ("new keys", ["keys"])


def test_nothing_to_set_aside_or_to_put_back_is_no_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    set_aside(empty, DEVICE, NOW)
    assert not put_back(empty, DEVICE)
    assert list(empty.iterdir()) == []


def test_keys_are_destroyed_after_a_day_and_not_before(folder: Path) -> None:
    set_aside(folder, DEVICE, NOW)
    assert destroy_outdated(folder.parent, NOW + KEPT_MS - 1) == 0
    assert kept(folder) == ["keys"]
    assert destroy_outdated(folder.parent, NOW + KEPT_MS) == 1
    assert list(folder.iterdir()) == []


def test_a_clock_that_is_set_back_a_little_destroys_nothing_and_a_wrong_one_keeps_nothing_for_years(
    folder: Path,
) -> None:
    set_aside(folder, DEVICE, NOW)
    assert destroy_outdated(folder.parent, NOW - HOUR_MS) == 0
    assert destroy_outdated(folder.parent, NOW - 365 * KEPT_MS) == 1


def test_keys_in_use_are_never_outdated(folder: Path) -> None:
    set_aside(folder, DEVICE, NOW)
    put_back(folder, DEVICE)
    assert destroy_outdated(folder.parent, NOW + 2 * KEPT_MS) == 0
    assert in_use(folder) == "keys"
    assert [file.name for file in folder.iterdir() if file.is_dir()] == []


def test_who_starts_again_and_again_does_not_make_the_day_longer(folder: Path) -> None:
    for hours in range(0, 24, 6):
        set_aside(folder, DEVICE, NOW + hours * HOUR_MS, was_in_use=hours == 0)
        put_back(folder, DEVICE)
    set_aside(folder, DEVICE, NOW + KEPT_MS - 1, was_in_use=False)
    assert destroy_outdated(folder.parent, NOW + KEPT_MS) == 1


def test_a_device_that_came_back_has_a_whole_day_the_next_time(folder: Path) -> None:
    set_aside(folder, DEVICE, NOW)
    put_back(folder, DEVICE)
    set_aside(folder, DEVICE, NOW + 20 * HOUR_MS)
    assert destroy_outdated(folder.parent, NOW + KEPT_MS) == 0
    assert kept(folder) == ["keys"]


@pytest.mark.parametrize("moved", [["-wal"], ["-wal", "-shm"]])
def test_a_move_that_was_cut_off_is_made_whole_by_the_next(folder: Path, moved: list[str]) -> None:
    set_aside(folder, DEVICE, NOW)
    (aside,) = folder.iterdir()
    for suffix in moved:
        (aside / f"crypto.db{suffix}").rename(folder / f"crypto.db{suffix}")
    assert put_back(folder, DEVICE)
    assert len(list(folder.glob("crypto.db*"))) == 3


def test_what_only_looks_like_it_is_left_alone(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_keys(elsewhere, "not ours")
    (folder / "signed-out-1-0123456789abcdef").symlink_to(elsewhere)
    (folder / "signed-out-1-0123456789abcdeg").mkdir()
    (folder / "signed-out-2-0123456789abcdef").write_text("a file")
    assert destroy_outdated(tmp_path, NOW) == 0
    assert in_use(elsewhere) == "not ours"
    assert len(list(folder.glob("signed-out-*"))) == 3


def test_what_cannot_be_deleted_is_said_with_what_to_do(folder: Path) -> None:
    set_aside(folder, DEVICE, NOW)
    (aside,) = folder.iterdir()
    (aside / "somebody's").write_text("note")
    with pytest.raises(StateError) as refusal:
        destroy_outdated(folder.parent, NOW + KEPT_MS)
    assert str(aside) in refusal.value.hint


async def test_a_device_that_signs_in_again_reads_what_it_could_read(tmp_path: Path) -> None:
    first = await open_machine(tmp_path)
    identity = first.identity
    await first.keep_secret("backup", "secret")
    await first.close()
    await asyncio.to_thread(set_aside, tmp_path, "D", NOW)
    other = await open_machine(tmp_path, device_id="E")
    assert other.identity.curve25519 != identity.curve25519
    await other.close()
    again = await open_machine(tmp_path)
    assert again.identity == identity
    assert await again.secret("backup") == "secret"
    await again.close()


async def test_keys_that_are_destroyed_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    machine = await open_machine(folder)
    assert (folder / "crypto.db").stat().st_mode & 0o777 == 0o600
    await machine.close()
    for _ in range(2):
        await asyncio.to_thread(destroy, folder)
        assert await asyncio.to_thread(os.listdir, folder) == []
