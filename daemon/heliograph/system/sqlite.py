"""Runs transactions on a SQLite file, in the one thread that may touch it. Only this module knows aiosqlite.

A transaction is one plain function that runs in that thread from BEGIN to COMMIT: one hop instead of one for each
statement. So no other task's statements can come between, and a caller that is cancelled meanwhile leaves the whole
transaction or nothing of it: the function is never interrupted, only its result is no longer wanted.
Tests: test_one_tasks_failure_takes_nothing_of_anothers,
test_a_cancelled_caller_leaves_all_of_its_transaction_or_nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import aiosqlite

from heliograph.errors import StateError, StorageError, Unstorable
from heliograph.system.migrations import migrate, version_of
from heliograph.system.service_manager import to_restart
from heliograph.system.tasks import start, start_beside

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
ERASED_WITHIN_S = 5.0
"""How long the write-ahead journal may still hold what a transaction erased."""
# WAL: `heliograph status` and others read the file while the daemon writes. FULL: an acknowledged sync must survive
# power loss, not only a killed process. The journal is cut back to 4 MB after a large transaction. What is erased is
# overwritten, freed pages included, since it is what messages said. Sorting spills into memory, not into files.
_SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 4194304;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
"""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNFIT = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})
_FULL = frozenset({sqlite3.SQLITE_FULL})
_FORBIDDEN = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})

# At debug level aiosqlite logs the parameters of every statement, message bodies among them. Set here, and not in
# `logs.set_up_log`: a program that uses this module without it would log them.
logging.getLogger("aiosqlite").setLevel(logging.INFO)


class _Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


class DamagedFile(StateError):
    """SQLite finds the file damaged. Trying again does not help."""


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, which can also run a whole function in its thread: one hop for a transaction, instead of
    one for each statement."""

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(partial(work, self._conn))  # type: ignore[no-untyped-call]
        return result


class Database:
    """One open SQLite file. `open` and `open_readonly` raise StateError; all other methods raise StorageError, or its
    subclass Unstorable if the fault lies in a value. A text that is no UTF-8 is read with U+FFFD for the wrong bytes.

    If the file turns out to be damaged, each method raises DamagedFile.
    """

    def __init__(self, connection: _Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._is_closed = False
        self._emptying: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, path: Path, migrations: Sequence[str]) -> Database:
        """Opens the file, or creates it with mode 0600, and applies the migrations that it has not had yet."""
        return await whole_or_closed(cls._open(path, partial(_open, path, migrations)))

    @classmethod
    async def open_readonly(cls, path: Path, version: int) -> Database:
        """Opens the file for reading, beside the process that writes to it. The file must exist and have had exactly
        `version` migrations."""
        return await whole_or_closed(cls._open(path, partial(_open_readonly, path, version)))

    @classmethod
    async def _open(cls, path: Path, connect: Callable[[], sqlite3.Connection]) -> Database:
        failures: list[StateError] = []

        def connect_or_note() -> sqlite3.Connection:
            try:
                return connect()
            except StateError as error:
                # Without a connection to close, aiosqlite's thread would never end.
                failures.append(error)
                return sqlite3.connect(":memory:")

        database = cls(_Connection(connect_or_note, iter_chunk_size=64), path)
        await database._connection
        if failures:
            await database.close()
            raise failures[0]
        return database

    async def transaction(self, work: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Runs `work` between BEGIN IMMEDIATE and COMMIT, and rolls back if `work` raises. `work` must not commit.

        `erases`: the journal is emptied within ERASED_WITHIN_S, so that nothing `work` deleted can be read there.
        """
        result = await self._run(partial(_within_transaction, work))
        if erases and self._emptying is None and not self._is_closed:
            self._emptying = asyncio.get_running_loop().call_later(ERASED_WITHIN_S, self._start_emptying)
        return result

    async def transactions(self, works: Sequence[Callable[[sqlite3.Connection], T]]) -> list[T | Exception] | None:
        """Runs all works, in order, between one BEGIN IMMEDIATE and one COMMIT. Returns what each of them returned, or
        the exception that it raised: such a work is undone alone.

        None: the transaction was undone as a whole, as by a full disk, so that nothing of any work is kept.
        """
        outcomes = await self._run(partial(_within_one_transaction, works))
        if outcomes is None:
            return None
        return [self._explain(each) if isinstance(each, sqlite3.Error) else each for each in outcomes]

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`, which only reads. All its statements see the same state of the file."""
        return await self._run(partial(_within_snapshot, work))

    async def empty_journal(self) -> None:
        """Moves the contents of the journal into the file, and cuts the journal to nothing."""
        await self._run(_empty_journal)

    def _start_emptying(self) -> None:
        self._emptying = None
        start_beside(self._try_emptying(), name="emptying a journal")

    async def _try_emptying(self) -> None:
        # Whoever reads beside us, or a disk that fails, delays it to the next time.
        with contextlib.suppress(StorageError, StateError):
            await self.empty_journal()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._is_closed:
            raise StorageError(f"{self._path.name} is closed")
        try:
            return await self._connection.call(work)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> StorageError | StateError:
        """The error that callers expect in place of SQLite's own."""
        if _code(error) in _DAMAGED:
            return _damaged(self._path, error)
        if _is_unfit(error):
            return Unstorable(f"{self._path.name} cannot hold this: {error}")
        return StorageError(f"{self._path.name} could not be read or written: {error}")

    async def close(self) -> None:
        """Waits for the transaction under way, then closes the file. A second call does nothing."""
        self._is_closed = True
        if self._emptying is not None:
            # The last one to close the file empties the journal anyway.
            self._emptying.cancel()
        try:
            await self._connection.close()
        except sqlite3.Error as error:
            raise StorageError(f"{self._path.name} could not be closed: {error}") from error


async def whole_or_closed(opening: Coroutine[Any, Any, C]) -> C:
    """Returns what `opening` opens. If the caller is cancelled meanwhile, waits for that and closes it at once: the
    thread that opens a file cannot be cancelled, and would keep the file open."""
    task = start(opening, name="opening")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(StateError):
            await (await task).close()
        raise


def _open(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    return _connect(path, "rw", partial(_migrate, path, migrations))


def _open_readonly(path: Path, version: int) -> sqlite3.Connection:
    prepare = partial(_require_version, path, version)
    try:
        return _connect(path, "ro", prepare)
    except StateError:
        # SQLite creates a -shm file even to read, which a full or read-only disk does not take. `immutable` reads
        # without it, and ignores the journal, so it is right only if that is empty.
        if not path.exists() or not _is_journal_empty(path):
            raise
        return _connect(path, "ro&immutable=1", prepare)


def _is_journal_empty(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size == 0
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _connect(path: Path, mode: str, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode={mode}"
    try:
        db = sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    except sqlite3.Error as error:
        raise _at_opening(path, error) from error
    db.text_factory = _text
    try:
        prepare(db)
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error):
            raise _at_opening(path, error) from error
        raise
    return db


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _migrate(path: Path, migrations: Sequence[str], db: sqlite3.Connection) -> None:
    if version_of(db) > len(migrations):
        raise _newer(path)
    db.executescript(_SETTINGS)
    migrate(path, db, migrations)
    # After the migrations: one that rebuilds a table which others refer to would otherwise delete their rows.
    db.execute("PRAGMA foreign_keys = ON")


def _require_version(path: Path, version: int, db: sqlite3.Connection) -> None:
    found = version_of(db)
    if found > version:
        raise _newer(path)
    if found < version:
        raise StateError(
            f"{path} was written by an older Heliograph",
            f"Restart the daemon, which brings it up to date: {to_restart()}",
        )


def _within_transaction(work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
    # IMMEDIATE takes the write lock now: one that is taken at the first write fails if somebody else wrote meanwhile.
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        _roll_back(db)
        raise
    return result


def _within_one_transaction(
    works: Sequence[Callable[[sqlite3.Connection], T]], db: sqlite3.Connection
) -> list[T | Exception] | None:
    db.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_within_savepoint(work, db) for work in works]
        db.execute("COMMIT")
    except sqlite3.Error:
        _roll_back(db)
        return None
    except BaseException:
        _roll_back(db)
        raise
    return outcomes


def _within_savepoint(work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T | Exception:
    db.execute("SAVEPOINT work")
    outcome: T | Exception
    try:
        outcome = work(db)
    except Exception as error:  # noqa: BLE001 - it is handed to the work's caller, and the other works go on
        outcome = error
        # Fails if SQLite has undone the whole transaction, as for a full disk: then no savepoint is left.
        db.execute("ROLLBACK TO work")
    db.execute("RELEASE work")
    return outcome


def _within_snapshot(work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
    db.execute("BEGIN")
    try:
        return work(db)
    finally:
        _roll_back(db)


def _empty_journal(db: sqlite3.Connection) -> None:
    # A reader that stands still would hold up the checkpoint, and with it all writes, for the whole time-out.
    db.execute("PRAGMA busy_timeout = 0")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_TIMEOUT_S)}")


def _roll_back(db: sqlite3.Connection) -> None:
    # A full disk or an I/O error may have rolled back already.
    if db.in_transaction:
        db.execute("ROLLBACK")


def _code(error: sqlite3.Error) -> int:
    """The primary result code of SQLite; 0 for Python's own complaints (a closed connection), which have none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_unfit(error: sqlite3.Error) -> bool:
    """True if the fault lies in a value. Python's own complaint about a value's type has no code, and may be of either
    class."""
    is_unbound = isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError) and "binding" in str(error)
    return is_unbound or _code(error) in _UNFIT


def _at_opening(path: Path, error: sqlite3.Error) -> StateError:
    code = _code(error)
    if code in _DAMAGED:
        return _damaged(path, error)
    if not path.exists():
        return StateError(f"There is no {path.name} in {path.parent}", "Start the daemon once: heliograph run")
    if code in _FULL:
        return StateError(f"The disk that holds {path} is full", "Make room on it, then start again.")
    if code in _FORBIDDEN:
        return _unusable(path, str(error))
    return StateError(f"{path} cannot be opened: {error}", "Check the disk and the file's permissions.")


def _damaged(path: Path, error: sqlite3.Error) -> DamagedFile:
    return DamagedFile(
        f"{path} is damaged ({error})",
        f"Restore it from a backup, or move it away and start again: mv {path} {path}.damaged",
    )


def _newer(path: Path) -> StateError:
    return StateError(
        f"{path} was written by a newer Heliograph",
        "Update Heliograph, or move the file away to begin anew without what it remembers.",
    )


def _unusable(path: Path, why: str) -> StateError:
    return StateError(
        f"{path} cannot be written: {why}",
        f"Make {path.parent} a folder that you own and may write to.",
    )
