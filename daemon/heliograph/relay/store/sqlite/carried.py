"""Carried notifications in relay.db: which went to which device with which `next_batch`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from heliograph.relay.model.carried import Carried, DeviceNotifications, Key
from heliograph.relay.store.sqlite.group_commit import Transactions


class SqliteCarriedStore:
    """`ports.CarriedStore`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def load(self) -> dict[Key, DeviceNotifications]:
        return await self._transactions.read(_read)

    async def begin(self, key: Key, device: DeviceNotifications) -> None:
        def work(db: sqlite3.Connection) -> None:
            _delete_device(db, key)
            db.execute("INSERT INTO direct_devices VALUES (?, ?, ?)", (*key, device.since_ts))
            rows = [(*key, event_id, "", ts, True) for event_id, ts in device.acknowledged.items()]
            db.executemany("INSERT INTO attached VALUES (?, ?, ?, ?, ?, ?)", rows)

        await self._transactions.transaction(work)

    async def end(self, key: Key) -> None:
        await self._transactions.transaction(lambda db: _delete_device(db, key))

    async def carry(
        self,
        key: Key,
        next_batch: str,
        event_ids: Collection[str],
        *,
        new: Collection[Carried],
        dropped: Collection[str],
        outdated: Collection[str],
    ) -> None:
        def work(db: sqlite3.Connection) -> None:
            rows = [(*key, each.event_id, each.room_id, each.ts, False) for each in new]
            db.executemany("INSERT OR REPLACE INTO attached VALUES (?, ?, ?, ?, ?, ?)", rows)
            _delete_events(db, key, dropped)
            # The row of a repeated token moves to the end: `serial` is the order of the responses.
            _delete_responses(db, key, [next_batch, *outdated])
            db.execute(
                "INSERT INTO carried (user_id, device_id, next_batch, event_ids) VALUES (?, ?, ?, ?)",
                (*key, next_batch, json.dumps(sorted(event_ids))),
            )

        await self._transactions.transaction(work)

    async def settle(
        self,
        key: Key,
        event_ids: Collection[str],
        *,
        responses: Collection[str],
        forgotten: Collection[str],
        since_ts: int,
    ) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "UPDATE attached SET is_acknowledged = 1 WHERE user_id = ? AND device_id = ? AND event_id = ?",
                [(*key, event_id) for event_id in event_ids],
            )
            _delete_events(db, key, forgotten)
            _delete_responses(db, key, responses)
            db.execute("UPDATE direct_devices SET since_ts = ? WHERE user_id = ? AND device_id = ?", (since_ts, *key))

        await self._transactions.transaction(work)


def _read(db: sqlite3.Connection) -> dict[Key, DeviceNotifications]:
    rows = db.execute("SELECT user_id, device_id, since_ts FROM direct_devices")
    devices = {(user, device): DeviceNotifications(since_ts) for user, device, since_ts in rows}
    rows = db.execute(
        "SELECT user_id, device_id, event_id, room_id, ts, is_acknowledged FROM attached ORDER BY ts, event_id"
    )
    for user, device_id, event_id, room_id, ts, is_acknowledged in rows:
        device = devices[user, device_id]
        if is_acknowledged:
            device.acknowledged[event_id] = ts
        else:
            device.open[event_id] = Carried(event_id, room_id, ts)
    for user, device_id, token, ids in db.execute(
        "SELECT user_id, device_id, next_batch, event_ids FROM carried ORDER BY serial"
    ):
        devices[user, device_id].responses[token] = frozenset(json.loads(ids))
    return devices


def _delete_device(db: sqlite3.Connection, key: Key) -> None:
    # Its events and responses go with it: ON DELETE CASCADE.
    db.execute("DELETE FROM direct_devices WHERE user_id = ? AND device_id = ?", key)


def _delete_events(db: sqlite3.Connection, key: Key, event_ids: Collection[str]) -> None:
    db.executemany(
        "DELETE FROM attached WHERE user_id = ? AND device_id = ? AND event_id = ?",
        [(*key, event_id) for event_id in event_ids],
    )


def _delete_responses(db: sqlite3.Connection, key: Key, tokens: Collection[str]) -> None:
    db.executemany(
        "DELETE FROM carried WHERE user_id = ? AND device_id = ? AND next_batch = ?",
        [(*key, token) for token in tokens],
    )
