"""One file, one thread, whole transactions."""

# ruff: noqa: ASYNC240  files are what these tests are about

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from heliograph.errors import StateError, StorageError, Unstorable
from heliograph.system.sqlite import ERASED_WITHIN_S, Database
from support.waiting import until

NOTES = ("CREATE TABLE notes (text TEXT NOT NULL);",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it's 100% #1?.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, NOTES)
    yield database
    await database.close()


def write(text: str) -> Callable[[sqlite3.Connection], None]:
    def work(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO notes VALUES (?)", (text,))

    return work


def erase_notes(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM notes")


def read_notes(db: sqlite3.Connection) -> list[str]:
    return [text for (text,) in db.execute("SELECT text FROM notes")]


def open_files() -> list[str]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(descriptor))
    return found


class Bug(Exception):
    """Raised inside a transaction."""


class Slow:
    """Work that waits in the middle of its transaction until the test lets it go on."""

    def __init__(self, text: str, error: Exception | None = None) -> None:
        self._text = text
        self._error = error
        self.started = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO notes VALUES (?)", (f"{self._text} 1",))
        self.started.set()
        self.may_go_on.wait()
        if self._error is not None:
            raise self._error
        db.execute("INSERT INTO notes VALUES (?)", (f"{self._text} 2",))

    async def wait_started(self) -> None:
        await asyncio.to_thread(self.started.wait)


async def test_the_file_is_safe_from_power_loss_and_from_others(database: Database, path: Path) -> None:
    def settings(db: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "user_version")
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    full = 2
    assert await database.read(settings) == ["wal", full, 1, 5000, 1]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_work_runs_in_a_thread_of_its_own(database: Database) -> None:
    threads = {await database.transaction(lambda db: threading.get_ident()) for _ in range(3)}

    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_transaction_gives_back_what_its_work_returns(database: Database) -> None:
    assert await database.transaction(lambda db: db.execute("SELECT 7").fetchone()) == (7,)


async def test_an_error_inside_a_transaction_leaves_nothing_and_is_passed_on(database: Database) -> None:
    failing = Slow("failing", Bug())
    failing.may_go_on.set()

    with pytest.raises(Bug):
        await database.transaction(failing)

    await database.transaction(write("next"))
    assert await database.read(read_notes) == ["next"]


async def test_one_tasks_failure_takes_nothing_of_anothers(database: Database) -> None:
    failing = Slow("failing", Bug())
    first = asyncio.create_task(database.transaction(failing))
    await failing.wait_started()
    second = asyncio.create_task(database.transaction(write("second")))
    await asyncio.sleep(0)
    failing.may_go_on.set()

    results = await asyncio.gather(first, second, return_exceptions=True)

    assert [type(result) for result in results] == [Bug, type(None)]
    assert await database.read(read_notes) == ["second"]


@pytest.mark.parametrize(("error", "kept"), [(None, ["slow 1", "slow 2"]), (Bug(), [])])
async def test_a_cancelled_caller_leaves_all_of_its_transaction_or_nothing(
    database: Database, error: Exception | None, kept: list[str]
) -> None:
    slow = Slow("slow", error)
    caller = asyncio.create_task(database.transaction(slow))
    await slow.wait_started()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    following = asyncio.create_task(database.transaction(write("next")))
    await asyncio.sleep(0)
    slow.may_go_on.set()

    await following

    assert await database.read(read_notes) == [*kept, "next"]


async def test_closing_waits_for_what_is_under_way(path: Path) -> None:
    database = await Database.open(path, NOTES)
    assert str(path) in open_files()
    slow = Slow("slow")
    caller = asyncio.create_task(database.transaction(slow))
    await slow.wait_started()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    with pytest.raises(StorageError):
        await database.transaction(write("late"))
    slow.may_go_on.set()

    await asyncio.gather(caller, closing)

    again = await Database.open(path, NOTES)
    assert await again.read(read_notes) == ["slow 1", "slow 2"]
    await again.close()


async def test_a_closed_database_takes_nothing(database: Database) -> None:
    await database.close()

    with pytest.raises(StorageError):
        await database.transaction(write("late"))
    with pytest.raises(StorageError):
        await database.read(read_notes)


async def test_what_sqlite_refuses_is_a_storage_error(database: Database) -> None:
    with pytest.raises(StorageError, match="no such table"):
        await database.transaction(lambda db: db.execute("INSERT INTO missing VALUES (1)"))


async def test_reading_changes_nothing(database: Database) -> None:
    await database.read(write("kept?"))

    assert await database.read(read_notes) == []


async def test_a_waiting_writer_outlasts_another_process_that_reads(database: Database, path: Path) -> None:
    reader = await Database.open_readonly(path, 1)
    reading = Slow("unused")

    def look(db: sqlite3.Connection) -> list[str]:
        notes = read_notes(db)
        reading.started.set()
        reading.may_go_on.wait()
        return notes + read_notes(db)

    looking = asyncio.create_task(reader.read(look))
    await reading.wait_started()
    await database.transaction(write("meanwhile"))
    reading.may_go_on.set()

    assert await looking == [], "one state of the file, from before the write"
    assert await reader.read(read_notes) == ["meanwhile"]
    await reader.close()


async def test_statements_and_their_values_do_not_reach_the_log(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    await database.transaction(write("for your eyes only"))

    assert "eyes only" not in caplog.text
    assert "aiosqlite" not in {record.name for record in caplog.records}


@pytest.mark.parametrize("size", [20, 20_000])
async def test_what_was_erased_is_soon_in_no_file(database: Database, path: Path, size: int) -> None:
    text = ("for your eyes only " * size)[:size]
    await database.transaction(write(text))
    await database.transaction(erase_notes, erases=True)

    def is_gone() -> bool:
        return all(text[:19].encode() not in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))

    await until(lambda: asyncio.to_thread(is_gone), "the text to be gone", 4 * ERASED_WITHIN_S)


async def test_whoever_reads_beside_it_only_delays_that(database: Database, path: Path) -> None:
    await database.transaction(write("for your eyes only"))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM notes").fetchall()
    await database.transaction(erase_notes)

    await database.empty_journal()
    reader.close()
    await database.empty_journal()

    assert path.with_name(f"{path.name}-wal").stat().st_size == 0


# Opening


async def test_a_cancelled_opening_lets_go_of_the_file(path: Path) -> None:
    opening = asyncio.create_task(Database.open(path, NOTES))
    await asyncio.sleep(0)
    opening.cancel()

    with pytest.raises(asyncio.CancelledError):
        await opening

    assert str(path) not in open_files()


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    await (await Database.open(path, (*NOTES, "CREATE TABLE more (x);"))).close()
    before = path.read_bytes()

    with pytest.raises(StateError, match="newer") as caught:
        await Database.open(path, NOTES)

    assert "Update Heliograph" in caught.value.hint
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"<html>" * 1000)

    with pytest.raises(StateError, match="damaged") as caught:
        await Database.open(path, NOTES)

    assert str(path) in caught.value.hint


async def test_damage_that_shows_later_is_for_the_user_to_mend(path: Path) -> None:
    database = await Database.open(path, NOTES)
    await database.transaction(lambda db: db.executemany("INSERT INTO notes VALUES (?)", [("x" * 500,)] * 500))
    await database.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)

    database = await Database.open(path, NOTES)
    with pytest.raises(StateError, match="damaged"):
        await database.read(read_notes)
    await database.close()


async def test_a_folder_in_the_files_place_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(StateError):
        await Database.open(path, NOTES)


async def test_a_missing_folder_is_refused(path: Path) -> None:
    with pytest.raises(StateError):
        await Database.open(path / "nowhere" / "x.db", NOTES)


async def test_a_file_that_is_not_there_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(StateError, match="There is no"):
        await Database.open_readonly(path, 1)

    assert not path.exists()


@pytest.mark.parametrize(("version", "why"), [(0, "newer"), (2, "older")])
async def test_reading_wants_the_very_version(database: Database, path: Path, version: int, why: str) -> None:
    with pytest.raises(StateError, match=why):
        await Database.open_readonly(path, version)


async def test_reading_beside_the_daemon_cannot_write(database: Database, path: Path) -> None:
    reader = await Database.open_readonly(path, 1)

    with pytest.raises(StorageError):
        await reader.transaction(write("by the reader"))

    await reader.close()


@pytest.mark.parametrize("value", [None, object()])
async def test_what_breaks_a_rule_of_the_database_is_told_from_a_disk_that_fails(
    database: Database, value: object
) -> None:
    with pytest.raises(Unstorable, match="cannot hold this"):
        await database.transaction(write(value))  # type: ignore[arg-type]
    await database.transaction(write("next"))
    assert await database.read(read_notes) == ["next"]


async def test_a_text_that_is_no_utf_8_is_read_as_far_as_it_is(database: Database) -> None:
    def spoil(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO notes VALUES (CAST(x'61ff62' AS TEXT))")

    await database.transaction(spoil)
    assert await database.read(read_notes) == ["a\ufffdb"]
