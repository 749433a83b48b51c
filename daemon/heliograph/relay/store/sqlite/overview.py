"""Who has pushers in relay.db, read beside the relay that writes there."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from heliograph.core.value_type import value_type
from heliograph.relay.model.pushers import Twin
from heliograph.relay.store.sqlite.pushers import select_twins
from heliograph.relay.store.sqlite.store import DATABASE_NAME, MIGRATIONS
from heliograph.system.sqlite import Database

T = TypeVar("T")


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


@value_type
class KeptTwin:
    """A phone's twin, and what else is known of the phone and its user."""

    twin: Twin
    is_rejected: bool
    """The phone's own gateway wants nothing more of it."""
    seen_ms: int | None
    """When (ms since 1970) a desktop of the user was last there; None: there is none."""


async def read_overview(folder: Path) -> Overview:
    """Raises StateError if the folder has no database of this version, StorageError if it cannot be read."""
    return await _read_in(folder, _read)


async def read_twins(folder: Path, now_ms: int) -> list[KeptTwin]:
    """The twins of all phones. `now_ms`: ms since 1970. Raises StateError, StorageError as `read_overview`."""
    return await _read_in(folder, partial(_read_twins, now_ms=now_ms))


async def _read_in(folder: Path, read: Callable[[sqlite3.Connection], T]) -> T:
    database = await Database.open_readonly(folder / DATABASE_NAME, len(MIGRATIONS))
    try:
        return await database.read(read)
    finally:
        await database.close()


def _read_twins(db: sqlite3.Connection, now_ms: int) -> list[KeptTwin]:
    # A device without an end is there now.
    seen = dict(db.execute("SELECT user_id, max(coalesce(ended_ms, ?)) FROM presence GROUP BY user_id", (now_ms,)))
    rejected = {key for (key,) in db.execute("SELECT hidden_pushkey FROM phones WHERE is_rejected")}
    return [
        KeptTwin(twin, twin.hidden_pushkey in rejected, seen.get(twin.user_id))
        for twin in select_twins(db)
        if twin.url is not None
    ]


def _read(db: sqlite3.Connection) -> Overview:
    # Without wakers, which serve the direct pushers that are counted.
    rows = db.execute(
        "SELECT user_id FROM twins WHERE url IS NOT NULL UNION ALL SELECT user_id FROM direct_pushers"
    ).fetchall()
    (waiting,) = db.execute("SELECT count(*) FROM pushes WHERE outcome IS NULL").fetchone()
    return Overview(Counter(user_id for (user_id,) in rows), waiting)
