"""Which notifications went to which device with which `next_batch`, and which of these came back as `since`.

On disk before the response that carries them; in memory besides, so that a /sync with nothing new touches no disk.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from heliograph.relay.model.carried import Carried, DeviceNotifications, Key
from heliograph.system.sqlite import Database

MAX_OPEN = 1_000
"""Unacknowledged notifications of a device. The oldest go first: who is away so long has other ways to catch up."""
MAX_ACKNOWLEDGED = 500
"""Acknowledged ones that are remembered singly. All that is as old as the oldest of them counts as acknowledged."""
MAX_CARRIED = 50
"""Responses of a device that can still be acknowledged."""


class CarriedNotifications:
    """Every change is on disk when its call returns. Raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._devices: dict[Key, DeviceNotifications] = {}
        self._changing = asyncio.Lock()

    @classmethod
    async def load(cls, database: Database) -> CarriedNotifications:
        carried = cls(database)
        carried._devices = await database.read(_read)
        return carried

    async def begin(self, key: Key, since_ts: int, known: Iterable[Carried]) -> None:
        """From now on, what is not older than `since_ts` and not among the known ones. What was open, is no more."""
        device = DeviceNotifications(
            since_ts, acknowledged={each.event_id: each.ts for each in known if each.ts >= since_ts}
        )
        async with self._changing:
            await self._database.transaction(partial(_write_beginning, key, device))
            self._devices[key] = device

    async def end(self, key: Key) -> None:
        async with self._changing:
            if key in self._devices:
                await self._database.transaction(partial(_delete_device, key))
                del self._devices[key]

    def open_in(self, key: Key) -> Mapping[str, Carried]:
        """What was carried and not acknowledged, by event id."""
        device = self._devices.get(key)
        return device.open if device else {}

    def wants(self, key: Key, event_id: str, ts: int | None) -> bool:
        """Neither acknowledged nor from before the beginning. `ts` None: of an event that has just come."""
        device = self._devices.get(key)
        if device is None or event_id in device.acknowledged:
            return False
        return ts is None or ts >= device.since_ts or event_id in device.open

    async def carry(self, key: Key, next_batch: str, carried: Collection[Carried]) -> None:
        """A response is about to bring these. One that brought less with the same token bounds what it acknowledges:
        nobody knows which of the two arrived."""
        async with self._changing:
            device = self._devices.get(key)
            if device is not None:
                await self._carry(key, device, next_batch, carried)

    async def _carry(
        self, key: Key, device: DeviceNotifications, next_batch: str, carried: Collection[Carried]
    ) -> None:
        ids = frozenset(each.event_id for each in carried)
        before = device.responses.get(next_batch)
        ids = ids if before is None else ids & before
        opened = dict(device.open)
        opened.update((each.event_id, each) for each in carried)
        dropped = [] if len(opened) <= MAX_OPEN else sorted(opened, key=lambda id_: opened[id_].ts)[:-MAX_OPEN]
        for event_id in dropped:
            del opened[event_id]
        new = [each for event_id, each in opened.items() if event_id not in device.open]
        responses = {token: held for token, held in device.responses.items() if token != next_batch}
        responses[next_batch] = ids
        outdated = list(responses)[:-MAX_CARRIED]
        if new or dropped or ids != before or outdated:
            await self._database.transaction(partial(_write_carried, key, next_batch, ids, new, dropped, outdated))
        for token in outdated:
            del responses[token]
        device.open, device.responses = opened, responses

    def acknowledged_by(self, key: Key, since: str) -> frozenset[str]:
        """The events that `since` acknowledges, and that are not acknowledged yet."""
        device = self._devices.get(key)
        ids = device.responses.get(since) if device else None
        return frozenset() if device is None or ids is None else ids & device.open.keys()

    async def acknowledge(self, key: Key, since: str) -> None:
        """What `acknowledged_by` tells is acknowledged, and never told again."""
        async with self._changing:
            device = self._devices.get(key)
            if device is None or since not in device.responses:
                return
            settled = [device.open[event_id] for event_id in self.acknowledged_by(key, since)]
            tokens = list(device.responses)
            await self._settle(key, device, settled, tokens[: tokens.index(since) + 1])

    async def drop(self, key: Key, event_ids: Collection[str]) -> None:
        """Nothing will come of these any more: redacted, left, expired."""
        async with self._changing:
            device = self._devices.get(key)
            gone = [device.open[event_id] for event_id in event_ids if event_id in device.open] if device else []
            if device is not None and gone:
                await self._settle(key, device, gone, [])

    async def _settle(
        self, key: Key, device: DeviceNotifications, settled: list[Carried], responses: list[str]
    ) -> None:
        acknowledged = dict(device.acknowledged)
        acknowledged.update((each.event_id, each.ts) for each in settled)
        since_ts, forgotten = device.since_ts, []
        if len(acknowledged) > MAX_ACKNOWLEDGED:
            by_age = sorted(acknowledged, key=lambda id_: acknowledged[id_])
            forgotten = by_age[: len(by_age) - MAX_ACKNOWLEDGED]
            since_ts = max(since_ts, acknowledged[forgotten[-1]] + 1)
        await self._database.transaction(
            partial(_write_settled, key, [each.event_id for each in settled], responses, forgotten, since_ts)
        )
        for event_id in forgotten:
            acknowledged.pop(event_id, None)
        device.acknowledged, device.since_ts = acknowledged, since_ts
        device.open = {id_: each for id_, each in device.open.items() if id_ not in acknowledged}
        for event_id in forgotten:
            device.open.pop(event_id, None)
        device.responses = {token: ids for token, ids in device.responses.items() if token not in responses}


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


def _write_beginning(key: Key, device: DeviceNotifications, db: sqlite3.Connection) -> None:
    _delete_device(key, db)
    db.execute("INSERT INTO direct_devices VALUES (?, ?, ?)", (*key, device.since_ts))
    rows = [(*key, event_id, "", ts, True) for event_id, ts in device.acknowledged.items()]
    db.executemany("INSERT INTO attached VALUES (?, ?, ?, ?, ?, ?)", rows)


def _delete_device(key: Key, db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM direct_devices WHERE user_id = ? AND device_id = ?", key)


def _write_carried(
    key: Key,
    next_batch: str,
    ids: frozenset[str],
    new: list[Carried],
    dropped: list[str],
    outdated: list[str],
    db: sqlite3.Connection,
) -> None:
    rows = [(*key, each.event_id, each.room_id, each.ts, False) for each in new]
    db.executemany("INSERT OR REPLACE INTO attached VALUES (?, ?, ?, ?, ?, ?)", rows)
    _delete_events(key, dropped, db)
    _delete_responses(key, [next_batch, *outdated], db)
    db.execute(
        "INSERT INTO carried (user_id, device_id, next_batch, event_ids) VALUES (?, ?, ?, ?)",
        (*key, next_batch, json.dumps(sorted(ids))),
    )


def _write_settled(
    key: Key, settled: list[str], responses: list[str], forgotten: list[str], since_ts: int, db: sqlite3.Connection
) -> None:
    db.executemany(
        "UPDATE attached SET is_acknowledged = 1 WHERE user_id = ? AND device_id = ? AND event_id = ?",
        [(*key, event_id) for event_id in settled],
    )
    _delete_events(key, forgotten, db)
    _delete_responses(key, responses, db)
    db.execute("UPDATE direct_devices SET since_ts = ? WHERE user_id = ? AND device_id = ?", (since_ts, *key))


def _delete_events(key: Key, event_ids: list[str], db: sqlite3.Connection) -> None:
    db.executemany(
        "DELETE FROM attached WHERE user_id = ? AND device_id = ? AND event_id = ?",
        [(*key, event_id) for event_id in event_ids],
    )


def _delete_responses(key: Key, tokens: list[str], db: sqlite3.Connection) -> None:
    db.executemany(
        "DELETE FROM carried WHERE user_id = ? AND device_id = ? AND next_batch = ?",
        [(*key, token) for token in tokens],
    )
