"""A SQLite file and the one thread that may touch it. The only place that knows aiosqlite.

A transaction is one plain function that runs in that thread from BEGIN to COMMIT. So no other task's statements can
come between, and a caller that is cancelled while waiting leaves the whole of it or nothing: the function is never
interrupted, only its result is no longer wanted.
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
from heliograph.system import migrations as schema
from heliograph.system.service_manager import to_restart
from heliograph.system.tasks import start, start_beside

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
ERASED_WITHIN_S = 5.0
"""How long the write-ahead journal may still hold what a transaction erased."""
# FULL: an acknowledged sync must survive power loss, not only a killed process.
# The journal is cut back to 4 MB after a large transaction; what is erased is overwritten, freed pages included.
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

# At debug level aiosqlite logs every statement's parameters, message bodies among them: also where no log is set up.
logging.getLogger("aiosqlite").setLevel(logging.INFO)


class _Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, which can also run a whole function in its thread."""

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(partial(work, self._conn))  # type: ignore[no-untyped-call]
        return result


class Database:
    """One open SQLite file. `open` and `open_readonly` raise StateError, all else StorageError, which is Unstorable if
    the fault lies in what is written. A text that is no UTF-8 is read with a mark in place of what is not.

    A damaged file is a StateError whenever it is found out: trying again does not mend it.
    """

    def __init__(self, connection: _Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._is_closed = False
        self._emptying: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, path: Path, migrations: Sequence[str]) -> Database:
        """Opens the file, or makes it with mode 0600, and brings it to the version of the last migration."""
        return await whole_or_closed(cls._open(path, partial(_open, path, migrations)))

    @classmethod
    async def open_readonly(cls, path: Path, version: int) -> Database:
        """Opens the file beside the process that writes it. It must exist, in this very version."""
        return await whole_or_closed(cls._open(path, partial(_open_readonly, path, version)))

    @classmethod
    async def _open(cls, path: Path, connect: Callable[[], sqlite3.Connection]) -> Database:
        failures: list[StateError] = []

        def connect_or_note() -> sqlite3.Connection:
            try:
                return connect()
            except StateError as error:
                # aiosqlite's thread ends in good order only with a connection to close.
                failures.append(error)
                return sqlite3.connect(":memory:")

        database = cls(_Connection(connect_or_note, iter_chunk_size=64), path)
        await database._connection
        if failures:
            await database.close()
            raise failures[0]
        return database

    async def transaction(self, work: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Runs `work` between BEGIN IMMEDIATE and COMMIT; whatever it raises rolls back. It must not commit itself.

        What it `erases` is out of the journal, too, after ERASED_WITHIN_S.
        """
        result = await self._run(partial(_within_transaction, work))
        if erases and self._emptying is None and not self._is_closed:
            self._emptying = asyncio.get_running_loop().call_later(ERASED_WITHIN_S, self._start_emptying)
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`, which only reads, and sees one state of the file."""
        return await self._run(partial(_within_snapshot, work))

    async def empty_journal(self) -> None:
        """Moves what is in the journal into the file, and leaves nothing behind in it."""
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
            if _code(error) in _DAMAGED:
                raise _damaged(self._path, error) from error
            if _is_unfit(error):
                raise Unstorable(f"{self._path.name} cannot hold this: {error}") from error
            raise StorageError(f"{self._path.name} could not be read or written: {error}") from error

    async def close(self) -> None:
        """Waits for what is under way, then lets go of the file. Once more is no error."""
        self._is_closed = True
        if self._emptying is not None:
            # The last one to close the file empties the journal anyway.
            self._emptying.cancel()
        try:
            await self._connection.close()
        except sqlite3.Error as error:
            raise StorageError(f"{self._path.name} could not be closed: {error}") from error


async def whole_or_closed(opening: Coroutine[Any, Any, C]) -> C:
    """What is being opened; closed at once if the caller was cancelled meanwhile, since a thread cannot be."""
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
        # A reader makes a file beside it, too, which a disk that is full or read-only does not take.
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
    if schema.version_of(db) > len(migrations):
        raise _newer(path)
    db.executescript(_SETTINGS)
    schema.migrate(path, db, migrations)
    # Only now: a migration may rebuild tables that others refer to.
    db.execute("PRAGMA foreign_keys = ON")


def _require_version(path: Path, version: int, db: sqlite3.Connection) -> None:
    found = schema.version_of(db)
    if found > version:
        raise _newer(path)
    if found < version:
        raise StateError(
            f"{path} was written by an older Heliograph",
            f"Restart the daemon, which brings it up to date: {to_restart()}",
        )


def _within_transaction(work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        _roll_back(db)
        raise
    return result


def _within_snapshot(work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
    db.execute("BEGIN")
    try:
        return work(db)
    finally:
        _roll_back(db)


def _empty_journal(db: sqlite3.Connection) -> None:
    # A reader that stands still must not hold up those who write.
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
    """The primary result code; Python's own complaints (a closed connection) have none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_unfit(error: sqlite3.Error) -> bool:
    """The fault lies in a value. Python's own complaint about its type has no code, and is of either class."""
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


def _damaged(path: Path, error: sqlite3.Error) -> StateError:
    return StateError(
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
