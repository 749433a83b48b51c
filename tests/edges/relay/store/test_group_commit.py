"""Changes that come at once share a commit, and nothing else: each is answered once it is on disk, or fails alone."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliograph.errors import StorageError, Unstorable
from heliograph.relay.store.sqlite.group_commit import MOST_TOGETHER, GroupCommit
from heliograph.system.sqlite import Database

NOTES = ("CREATE TABLE notes (text TEXT NOT NULL);",)


@dataclass
class Subject:
    """A group commit on a real file, whose thread tests can hold up."""

    path: Path
    database: Database
    commits: GroupCommit

    @contextlib.asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Meanwhile the thread commits another change, so that whatever is asked for comes into one group."""
        begun, gate = threading.Event(), threading.Event()

        def hold(_: sqlite3.Connection) -> None:
            begun.set()
            gate.wait()

        holding = asyncio.create_task(self.commits.transaction(hold))
        await asyncio.to_thread(begun.wait)
        try:
            yield
            # What the body started asks for its change at its first step.
            await asyncio.sleep(0)
        finally:
            gate.set()
            await holding

    @property
    def notes(self) -> list[str]:
        """As another process sees them."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            return [text for (text,) in db.execute("SELECT text FROM notes ORDER BY rowid")]

    async def trace(self) -> list[str]:
        """Every statement from now on."""
        statements: list[str] = []
        await self.database.read(lambda db: db.set_trace_callback(statements.append))
        return statements


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Subject]:
    path = tmp_path / "relay.db"
    database = await Database.open(path, NOTES)
    commits = GroupCommit(database)
    yield Subject(path, database, commits)
    await commits.close()
    await database.close()


def write(text: str | None) -> Callable[[sqlite3.Connection], str | None]:
    def work(db: sqlite3.Connection) -> str | None:
        db.execute("INSERT INTO notes VALUES (?)", (text,))
        return text

    return work


def write_and_fail(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO notes VALUES ('half')")
    raise KeyError("a fault of our own")


async def commit(subject: Subject, *works: Callable[[sqlite3.Connection], object]) -> list[object]:
    """What came of works that are asked for at once."""
    async with subject.busy():
        tasks = [asyncio.create_task(subject.commits.transaction(work)) for work in works]
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def test_changes_that_come_while_another_is_committed_share_one_commit(subject: Subject) -> None:
    statements = await subject.trace()
    texts = [f"note {number}" for number in range(MOST_TOGETHER)]
    assert await commit(subject, *map(write, texts)) == texts
    assert subject.notes == texts
    # One for the change that kept the thread busy, one for all others.
    assert statements.count("COMMIT") == 2


async def test_a_change_that_comes_alone_is_committed_at_once(subject: Subject) -> None:
    statements = await subject.trace()
    assert await subject.commits.transaction(write("alone")) == "alone"
    assert subject.notes == ["alone"]
    assert [each for each in statements if "SAVEPOINT" in each] == []


async def test_no_group_grows_without_bounds(subject: Subject) -> None:
    statements = await subject.trace()
    await commit(subject, *(write(str(number)) for number in range(2 * MOST_TOGETHER)))
    assert statements.count("COMMIT") == 3


async def test_a_change_is_answered_only_once_it_is_on_disk(subject: Subject) -> None:
    seen: list[list[str]] = []

    async def write_and_look(text: str) -> None:
        await subject.commits.transaction(write(text))
        seen.append(subject.notes)

    async with subject.busy():
        tasks = [asyncio.create_task(write_and_look(text)) for text in ("one", "two")]
        await asyncio.sleep(0)
        assert seen == []
    await asyncio.gather(*tasks)
    assert seen == [["one", "two"]] * 2


async def test_a_change_that_fails_takes_nothing_of_its_group_along(subject: Subject) -> None:
    before, fault, unfit, behind = await commit(subject, write("before"), write_and_fail, write(None), write("behind"))
    assert (before, behind) == ("before", "behind")
    assert isinstance(fault, KeyError)
    assert isinstance(unfit, Unstorable)
    assert subject.notes == ["before", "behind"]


async def test_a_change_too_large_for_the_disk_fails_alone(subject: Subject) -> None:
    statements = await subject.trace()
    (pages,) = await subject.database.read(lambda db: db.execute("PRAGMA page_count").fetchone())
    await subject.database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 4}").fetchone())
    before, large, behind = await commit(subject, write("before"), write("large" * 10_000), write("behind"))
    assert (before, behind) == ("before", "behind")
    assert isinstance(large, StorageError)
    assert subject.notes == ["before", "behind"]
    # SQLite undid the whole group, and each was tried in a transaction of its own.
    assert statements.count("BEGIN IMMEDIATE") == 5


async def test_a_group_that_cannot_begin_fails_as_a_whole_and_waits_once(subject: Subject) -> None:
    await subject.database.read(lambda db: db.execute("PRAGMA busy_timeout = 0").fetchone())
    statements = await subject.trace()
    with closing(sqlite3.connect(subject.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        works = [subject.commits.transaction(write(text)) for text in "abc"]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
    assert [type(each) for each in outcomes] == [StorageError] * 3
    assert statements.count("BEGIN IMMEDIATE") == 1
    assert subject.notes == []
    assert await subject.commits.transaction(write("later")) == "later"


async def test_a_caller_that_is_cancelled_leaves_the_others_and_its_own_change(subject: Subject) -> None:
    async with subject.busy():
        gone, other = (asyncio.create_task(subject.commits.transaction(write(text))) for text in ("gone", "other"))
        await asyncio.sleep(0)
        gone.cancel()
    assert await other == "other"
    assert gone.cancelled()
    assert subject.notes == ["gone", "other"]


async def test_closing_waits_for_every_change_that_was_asked_for(subject: Subject) -> None:
    async with subject.busy():
        tasks = [asyncio.create_task(subject.commits.transaction(write(text))) for text in "abc"]
    await subject.commits.close()
    assert subject.notes == ["a", "b", "c"]
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]


async def test_a_file_that_is_closed_meanwhile_fails_each_change(subject: Subject) -> None:
    async with subject.busy():
        tasks = [asyncio.create_task(subject.commits.transaction(write(text))) for text in "ab"]
        await asyncio.sleep(0)
        closing_file = asyncio.create_task(subject.database.close())
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await closing_file
    assert [type(each) for each in outcomes] == [StorageError] * 2
    assert subject.notes == []
