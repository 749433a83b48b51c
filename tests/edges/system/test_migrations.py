"""From one version of a file to the next."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from heliograph.errors import StateError
from heliograph.system.migrations import read_migrations
from heliograph.system.sqlite import Database

NOTES = ("CREATE TABLE notes (text TEXT);",)
TWO = (*NOTES, "INSERT INTO notes VALUES ('2');")
BROKEN = (*NOTES, "INSERT INTO notes VALUES ('half');\nCREATE NONSENSE;")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


def notes(db: sqlite3.Connection) -> list[str]:
    return [text for (text,) in db.execute("SELECT text FROM notes")]


async def open_once(path: Path, migrations: tuple[str, ...]) -> list[str]:
    """What the notes say with these migrations."""
    database = await Database.open(path, migrations)
    try:
        return await database.read(notes)
    finally:
        await database.close()


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file()}


async def test_migrations_apply_in_order_and_only_once(path: Path) -> None:
    steps = (*TWO, "INSERT INTO notes VALUES ('3');")
    for count in (1, 2, 3):
        await open_once(path, steps[:count])

    assert await open_once(path, steps) == ["2", "3"]
    assert files(path.parent) == {"notes.db"}, "no copy of what is up to date"


async def test_a_migration_that_fails_leaves_the_version_before_and_a_copy(path: Path) -> None:
    await open_once(path, TWO)

    with pytest.raises(StateError, match="could not be brought up to date") as caught:
        await Database.open(path, (*TWO, *BROKEN[1:]))

    copy = path.with_name("notes.db.v2")
    assert str(copy) in caught.value.hint
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as db:
        assert notes(db) == ["2"]
    assert await open_once(path, TWO) == ["2"]


async def test_what_an_earlier_failure_left_behind_goes_with_the_success(path: Path) -> None:
    await open_once(path, NOTES)
    with pytest.raises(StateError):
        await Database.open(path, BROKEN)
    assert "notes.db.v1" in files(path.parent)

    assert await open_once(path, TWO) == ["2"]
    assert files(path.parent) == {"notes.db"}


async def test_what_messages_say_is_in_no_file_that_others_can_read_meanwhile(path: Path) -> None:
    await open_once(path, NOTES)
    before = os.umask(0)
    try:
        with pytest.raises(StateError):
            await Database.open(path, BROKEN)
    finally:
        os.umask(before)

    assert path.with_name("notes.db.v1").stat().st_mode & 0o077 == 0


async def test_without_a_place_for_the_copy_nothing_is_changed(path: Path) -> None:
    await open_once(path, NOTES)
    path.with_name("notes.db.v1").mkdir()

    with pytest.raises(StateError, match="cannot be copied"):
        await Database.open(path, TWO)

    assert await open_once(path, NOTES) == []


async def test_a_first_start_that_fails_leaves_nothing_to_copy(path: Path) -> None:
    with pytest.raises(StateError):
        await Database.open(path, BROKEN)

    assert "notes.db.v0" not in files(path.parent)


def test_a_gap_in_the_numbers_of_migrations_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gappy" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "0001_one.sql").write_text("SELECT 1;")
    (folder / "0003_three.sql").write_text("SELECT 3;")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ValueError, match="without a gap"):
        read_migrations("gappy")
