"""A look at an encrypted event from beside the daemon, which keeps the keys: nothing is written."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

from heliograph.core.encryption.values import Clear, Locked
from heliograph.core.events import Event
from heliograph.encryption.olm.key_files import FILE_NAME
from heliograph.encryption.olm.machine import MIGRATIONS
from heliograph.system.sqlite import Database


async def peek(folder: Path, pickle_key: str, event: Event) -> Clear | Locked:
    """What an `m.room.encrypted` event says. Raises StateError if there is no crypto.db, and StorageError."""
    database = await Database.open_readonly(folder / FILE_NAME, len(MIGRATIONS))
    try:
        return await database.read(partial(_peek, pickle_key, event))
    finally:
        await database.close()


def _peek(pickle_key: str, event: Event, db: sqlite3.Connection) -> Clear | Locked:
    # Only here, within the thread: importing the cryptography takes a while.
    from heliograph.encryption.olm import decryption
    from heliograph.encryption.olm.losses import Losses
    from heliograph.encryption.olm.room_keys import RoomKeys

    return decryption.peek_with(event, RoomKeys(db, pickle_key, Losses()))
