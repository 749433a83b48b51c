"""To-device events, kept on disk before /sync acknowledges them: the homeserver deletes them then.

They hold the keys of encrypted messages. Bounded: anyone may send them, and the newest are worth most.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from heliograph.sqlite import Database, read_migrations

log = logging.getLogger(__name__)

INBOX_NAME = "crypto.db"
MIGRATIONS = read_migrations("heliograph.encryption")
MOST_EVENTS = 10_000
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A to-device event in the inbox. Positions grow in the order of arrival and are never used again."""

    position: int
    event: bytes
    """Its raw JSON."""


class SqliteInbox:
    """`ports.Inbox` over one SQLite file, `crypto.db` in the account's folder."""

    def __init__(self, database: Database, most_events: int, most_bytes: int) -> None:
        self._database = database
        self._most_events = most_events
        self._most_bytes = most_bytes

    @classmethod
    async def open(cls, folder: Path, *, most_events: int = MOST_EVENTS, most_bytes: int = MOST_BYTES) -> SqliteInbox:
        """Makes the file (0600) if missing; the folder exists, and its lock is ours. Raises StateError."""
        database = await Database.open(folder / INBOX_NAME, MIGRATIONS)
        return cls(database, most_events, most_bytes)

    async def keep(self, to_device: Sequence[bytes]) -> None:
        """Commits them. The same event again is kept once. Raises StorageError.

        Beyond 10,000 events or 64 MB the oldest are dropped, and the log says how many.
        """
        if not to_device:
            return
        dropped = await self._database.transaction(partial(self._keep, to_device))
        if dropped:
            log.warning("The inbox is full: dropped the %d oldest to-device events", dropped)

    async def read(self, *, after: int = 0, limit: int = 100) -> list[Kept]:
        """The next events after a position, in order of arrival. Raises StorageError."""
        return await self._database.read(partial(_read, after=after, limit=limit))

    async def dropped(self) -> int:
        """How many events the bounds ever cost. Raises StorageError."""
        return await self._database.read(_read_dropped)

    async def close(self) -> None:
        await self._database.close()

    def _keep(self, to_device: Sequence[bytes], db: sqlite3.Connection) -> int:
        events, size = _insert(db, to_device)
        (held_events, held_bytes) = db.execute(
            "UPDATE inbox_totals SET events = events + ?, bytes = bytes + ? RETURNING events, bytes", (events, size)
        ).fetchone()
        if held_events <= self._most_events and held_bytes <= self._most_bytes:
            return 0
        return _drop(db, held_events - self._most_events, held_bytes - self._most_bytes)


def _insert(db: sqlite3.Connection, to_device: Sequence[bytes]) -> tuple[int, int]:
    """How many of them were new, and their bytes."""
    events = size = 0
    for event in to_device:
        is_new = db.execute(
            "INSERT OR IGNORE INTO inbox (digest, size, event) VALUES (?, ?, ?)",
            (sha256(event).digest(), len(event), event),
        ).rowcount
        events += is_new
        size += is_new * len(event)
    return events, size


def _drop(db: sqlite3.Connection, events_over: int, bytes_over: int) -> int:
    """Drops the oldest until neither bound is exceeded. Returns how many."""
    events = size = last = 0
    for position, event_size in db.execute("SELECT position, size FROM inbox ORDER BY position"):
        if events >= events_over and size >= bytes_over:
            break
        events, size, last = events + 1, size + event_size, position
    db.execute("DELETE FROM inbox WHERE position <= ?", (last,))
    db.execute(
        "UPDATE inbox_totals SET events = events - ?, bytes = bytes - ?, dropped = dropped + ?", (events, size, events)
    )
    return events


def _read(db: sqlite3.Connection, after: int, limit: int) -> list[Kept]:
    rows = db.execute("SELECT position, event FROM inbox WHERE position > ? ORDER BY position LIMIT ?", (after, limit))
    return [Kept(position, bytes(event)) for position, event in rows]


def _read_dropped(db: sqlite3.Connection) -> int:
    (dropped,) = db.execute("SELECT dropped FROM inbox_totals").fetchone()
    return int(dropped)
