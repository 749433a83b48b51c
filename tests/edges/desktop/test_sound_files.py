from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.desktop.sound_files import SoundFiles

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def make_folder(path: Path, *names: str, changed_ms: int = NOW_MS - DAY_MS) -> Path:
    path.mkdir(exist_ok=True)
    for name in names:
        (path / name).touch()
    os.utime(path, ns=(changed_ms * 1_000_000,) * 2)
    return path


@pytest.fixture
def files() -> SoundFiles:
    return SoundFiles(lambda: NOW_MS)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were listed, in order."""
    folders: list[Path] = []
    real: Callable[[Path], list[str]] = os.listdir

    def listdir(folder: Path) -> list[str]:
        folders.append(folder)
        return real(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    return folders


def test_the_first_folder_that_has_a_sound_wins_and_in_it_the_first_sound(tmp_path: Path, files: SoundFiles) -> None:
    mine, theirs = make_folder(tmp_path / "mine", "b.wav", "b.oga"), make_folder(tmp_path / "theirs", "a.oga", "c.mp3")
    assert files.find([mine, theirs], ["a", "b"]) == mine / "b.oga"
    assert files.find([mine, theirs], ["c"]) == theirs / "c.mp3"
    assert files.find([mine, theirs], ["d"]) is None
    assert files.find([tmp_path / "missing", theirs], ["a"]) == theirs / "a.oga"


def test_a_folder_that_has_not_changed_is_listed_once(tmp_path: Path, files: SoundFiles, listed: list[Path]) -> None:
    folder = make_folder(tmp_path / "sounds", "a.oga")
    for _ in range(3):
        assert files.find([folder], ["a"]) == folder / "a.oga"
    assert listed == [folder]


def test_what_is_put_into_a_folder_or_taken_out_is_noticed(tmp_path: Path, files: SoundFiles) -> None:
    folder = make_folder(tmp_path / "sounds")
    assert files.find([folder], ["a"]) is None
    make_folder(folder, "a.oga", changed_ms=NOW_MS - DAY_MS + 1)
    assert files.find([folder], ["a"]) == folder / "a.oga"
    (folder / "a.oga").unlink()
    assert files.find([folder], ["a"]) is None


def test_a_folder_that_changed_a_moment_ago_is_looked_at_again(
    tmp_path: Path, files: SoundFiles, listed: list[Path]
) -> None:
    # The file system may tell two changes as of the same time.
    folder = make_folder(tmp_path / "sounds", changed_ms=NOW_MS)
    assert files.find([folder], ["a"]) is None
    make_folder(folder, "a.oga", changed_ms=NOW_MS)
    assert files.find([folder], ["a"]) == folder / "a.oga"
    assert listed == [folder, folder]


def test_a_link_to_nothing_is_no_sound(tmp_path: Path, files: SoundFiles) -> None:
    folder = make_folder(tmp_path / "sounds")
    (folder / "a.oga").symlink_to(tmp_path / "gone")
    assert files.find([folder], ["a"]) is None
