"""Brings a SQLite file from an older version of its tables to the newest."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path

from heliograph.errors import StateError

_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def read_migrations(package: str) -> tuple[str, ...]:
    """The texts of the .sql files in the folder `migrations` of `package`, in the order of their numbers (0001, 0002,
    ...). Raises ValueError if a number is missing."""
    folder = resources.files(package) / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    numbers = [int(file.name.partition("_")[0]) for file in files]
    if numbers != list(range(1, len(files) + 1)):
        raise ValueError(f"migrations of {package} are not numbered from 1 without a gap: {numbers}")
    return tuple(file.read_text(encoding="utf-8") for file in files)


def version_of(db: sqlite3.Connection) -> int:
    """The number of migrations that were applied to the file."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(path: Path, db: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Applies the migrations that the file has not had yet: all of them, or none.

    Meanwhile a copy of the file lies beside it (`NAME.vVERSION`, mode 0600), and stays there if a migration fails.
    Raises StateError, or sqlite3.Error if the disk is to blame.
    """
    version = version_of(db)
    if version >= len(migrations):
        return
    copy = _copy(path, db, version) if version > 0 else None
    script = "\n".join(migrations[version:])
    try:
        # One transaction with the version in it: killed at any point, the file is of the old version or of the new.
        # After an error no ROLLBACK is needed, since the caller closes the file.
        db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {len(migrations)};\nCOMMIT;")
    except sqlite3.Error as error:
        if copy is None or error.sqlite_errorcode & 0xFF in _FULL:
            raise
        raise StateError(
            f"{path} could not be brought up to date ({error})",
            f"It is as it was, and {copy} is a copy of it. Go back to the Heliograph you had, and report this.",
        ) from error
    if copy is not None:
        # The copy holds what messages said, so it must not outlive its purpose.
        copy.unlink()


def _copy(path: Path, db: sqlite3.Connection, version: int) -> Path:
    copy = path.with_name(f"{path.name}.v{version}")
    try:
        # A copy that an earlier attempt left behind is of this same version, so nothing is lost with it.
        copy.unlink(missing_ok=True)
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StateError(
            f"{path} cannot be copied before it is brought up to date: {error.strerror}",
            f"Make room in {path.parent}, and let nobody but you write there.",
        ) from error
    with closing(sqlite3.connect(copy)) as target:
        db.backup(target)
    return copy
