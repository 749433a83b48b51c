"""Who has pushers in relay.db, read beside the relay that writes there."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from heliograph.core.value_type import value_type
from heliograph.relay.store.sqlite.store import DATABASE_NAME, MIGRATIONS
from heliograph.system.sqlite import Database


@value_type
class Overview:
    """What leads through the relay."""

    pushers: Counter[str]
    """How many pushers of phones and desktops each user has."""
    waiting: int
    """Pushes that wait."""

    @property
    def is_empty(self) -> bool:
        return not self.pushers and not self.waiting


async def read_overview(folder: Path) -> Overview:
    """Raises StateError if the folder has no database of this version, StorageError if it cannot be read."""
    database = await Database.open_readonly(folder / DATABASE_NAME, len(MIGRATIONS))
    try:
        return await database.read(_read)
    finally:
        await database.close()


def _read(db: sqlite3.Connection) -> Overview:
    # Without wakers, which serve the direct pushers that are counted.
    rows = db.execute(
        "SELECT user_id FROM twins WHERE url IS NOT NULL UNION ALL SELECT user_id FROM direct_pushers"
    ).fetchall()
    (waiting,) = db.execute("SELECT count(*) FROM pushes WHERE outcome IS NULL").fetchone()
    return Overview(Counter(user_id for (user_id,) in rows), waiting)
