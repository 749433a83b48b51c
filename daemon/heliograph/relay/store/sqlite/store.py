"""Opens relay.db."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from heliograph.relay.ports import Store
from heliograph.relay.store.sqlite.carried import SqliteCarriedStore
from heliograph.relay.store.sqlite.group_commit import GroupCommit
from heliograph.relay.store.sqlite.presence import SqlitePresenceStore
from heliograph.relay.store.sqlite.pushers import SqlitePusherStore
from heliograph.relay.store.sqlite.pushes import SqlitePushStore
from heliograph.system.migrations import read_migrations
from heliograph.system.sqlite import Database

DATABASE_NAME = "relay.db"
MIGRATIONS = read_migrations("heliograph.relay.store.sqlite")


@contextlib.asynccontextmanager
async def open_sqlite(folder: Path) -> AsyncIterator[Store]:
    """relay.db in this folder, made or brought to this version's tables. Raises StateError, StorageError."""
    # Before it is opened, which writes.
    written_ms = await asyncio.to_thread(_last_write_ms, folder)
    database = await Database.open(folder / DATABASE_NAME, MIGRATIONS)
    commits = GroupCommit(database)
    try:
        yield Store(
            SqlitePusherStore(commits),
            SqliteCarriedStore(commits),
            SqlitePresenceStore(commits),
            SqlitePushStore(commits),
            written_ms,
        )
    finally:
        await commits.close()
        await database.close()


def _last_write_ms(folder: Path) -> int:
    """When the file or its journal, whose pages may not be in the file yet, was written to."""
    files = [folder / DATABASE_NAME, folder / f"{DATABASE_NAME}-wal"]
    return max((file.stat().st_mtime_ns // 1_000_000 for file in files if file.exists()), default=0)
