"""Opens relay.db."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from heliograph.relay.ports import Store
from heliograph.relay.store.sqlite.carried import SqliteCarriedStore
from heliograph.relay.store.sqlite.group_commit import GroupCommit
from heliograph.relay.store.sqlite.pushers import SqlitePusherStore
from heliograph.relay.store.sqlite.pushes import SqlitePushStore
from heliograph.system.migrations import read_migrations
from heliograph.system.sqlite import Database

DATABASE_NAME = "relay.db"
MIGRATIONS = read_migrations("heliograph.relay.store.sqlite")


@contextlib.asynccontextmanager
async def open_sqlite(folder: Path) -> AsyncIterator[Store]:
    """relay.db in this folder, made or brought to this version's tables. Raises StateError, StorageError."""
    database = await Database.open(folder / DATABASE_NAME, MIGRATIONS)
    commits = GroupCommit(database)
    try:
        yield Store(SqlitePusherStore(commits), SqliteCarriedStore(commits), SqlitePushStore(commits))
    finally:
        await commits.close()
        await database.close()
