"""The presence of direct devices in relay.db."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from heliograph.relay.model.carried import Key
from heliograph.relay.model.presence import DevicePresence
from heliograph.relay.store.sqlite.group_commit import Transactions


class SqlitePresenceStore:
    """`ports.PresenceStore`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def load(self) -> dict[Key, DevicePresence]:
        return await self._transactions.read(_read)

    async def put(self, devices: Mapping[Key, DevicePresence]) -> None:
        rows = [(*key, presence.ended_ms, presence.until_ms) for key, presence in devices.items()]
        await self._transactions.transaction(
            lambda db: db.executemany("INSERT OR REPLACE INTO presence VALUES (?, ?, ?, ?)", rows)
        )

    async def delete(self, key: Key) -> None:
        await self._transactions.transaction(
            lambda db: db.execute("DELETE FROM presence WHERE user_id = ? AND device_id = ?", key)
        )


def _read(db: sqlite3.Connection) -> dict[Key, DevicePresence]:
    rows = db.execute("SELECT user_id, device_id, ended_ms, until_ms FROM presence")
    return {(user_id, device_id): DevicePresence(ended_ms, until_ms) for user_id, device_id, ended_ms, until_ms in rows}
