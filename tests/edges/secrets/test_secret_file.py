from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from heliograph.errors import StateError, UserError
from heliograph.secrets.secret_file import SecretFile
from support.builders import ME


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "account").mkdir(mode=0o755)
    return tmp_path / "account"


@pytest.fixture
def store(folder: Path) -> SecretFile:
    return SecretFile(lambda _: folder)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_only_the_owner_can_read_it(store: SecretFile, folder: Path) -> None:
    await store.save(ME, "mine")
    assert mode_of(folder / "secret.json") == 0o600
    assert mode_of(folder) == 0o700
    assert os.listdir(folder) == ["secret.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_a_file_that_others_may_read_is_refused(store: SecretFile, folder: Path, mode: int) -> None:
    await store.save(ME, "mine")
    (folder / "secret.json").chmod(mode)
    with pytest.raises(UserError, match="may be read by others") as refusal:
        await store.load(ME)
    assert "chmod 600" in refusal.value.hint


async def test_a_link_in_its_place_is_refused(store: SecretFile, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("not a secret")
    (folder / "secret.json").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="symbolic link"):
        await store.load(ME)


async def test_a_pipe_in_its_place_is_refused_and_does_not_hang(store: SecretFile, folder: Path) -> None:
    os.mkfifo(folder / "secret.json", 0o600)
    with pytest.raises(UserError, match="not a regular file"):
        await store.load(ME)


async def test_a_folder_in_its_place_is_refused(store: SecretFile, folder: Path) -> None:
    os.mkdir(folder / "secret.json")
    with pytest.raises(UserError, match="not a regular file"):
        await store.load(ME)


async def test_somebody_elses_file_is_refused(store: SecretFile, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.save(ME, "mine")
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    with pytest.raises(UserError, match="belongs to somebody else"):
        await store.load(ME)


async def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        await SecretFile(lambda _: tmp_path / "file" / "account").save(ME, "mine")
