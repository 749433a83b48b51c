"""The pushers that the relay keeps: direct ones, and the originals behind the twins. In memory, and on disk first."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import TypeVar

from heliograph.relay.model.pushers import MARK, DirectPusher, Json, Twin
from heliograph.system.sqlite import Database

T = TypeVar("T")


class Registry:
    """`ports.Twins`. Reads are answered from memory; every change is on disk when its call returns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._twins: dict[str, Twin] = {}
        self._direct: dict[str, dict[tuple[str, str], DirectPusher]] = {}
        self._twins_of: dict[str, dict[tuple[str, str], Twin]] = {}

    @classmethod
    async def load(cls, database: Database) -> Registry:
        """Raises StorageError."""
        registry = cls(database)
        twins, direct = await database.read(_read)
        for twin in twins:
            registry._remember_twin(twin)
        for pusher in direct:
            registry._remember_direct(pusher)
        return registry

    @property
    def is_empty(self) -> bool:
        """Nobody has a direct pusher or a twin: nothing that passes matters."""
        return not self._twins and not self._direct

    @property
    def has_direct(self) -> bool:
        return bool(self._direct)

    @property
    def users(self) -> int:
        """How many have a pusher here."""
        return len(self._direct.keys() | self._twins_of.keys())

    @property
    def direct_pushers(self) -> int:
        return sum(map(len, self._direct.values()))

    @property
    def http_pushers(self) -> int:
        return sum(twin.url is not None for twin in self._twins.values())

    def knows(self, user_id: str) -> bool:
        return user_id in self._direct or user_id in self._twins_of

    def twin(self, hidden_pushkey: str) -> Twin | None:
        return self._twins.get(hidden_pushkey)

    def twin_of(self, device: Json) -> Twin | None:
        pushkey, data = device.get("pushkey"), device.get("data")
        mark = data.get(MARK) if isinstance(data, dict) else None
        twin = self._twins.get(mark) if isinstance(mark, str) else None
        if twin is None and isinstance(pushkey, str):
            twin = self._twins.get(pushkey)
        if twin is None or pushkey != twin.upstream_pushkey:
            return None
        return twin

    def twins_of(self, user_id: str) -> list[Twin]:
        return list(self._twins_of.get(user_id, {}).values())

    def twin_for(self, user_id: str, app_id: str, pushkey: str) -> Twin | None:
        """By the original's name."""
        return self._twins_of.get(user_id, {}).get((app_id, pushkey))

    def direct_of(self, user_id: str) -> list[DirectPusher]:
        return list(self._direct.get(user_id, {}).values())

    def direct_for(self, user_id: str, app_id: str, pushkey: str) -> DirectPusher | None:
        return self._direct.get(user_id, {}).get((app_id, pushkey))

    def others_with(self, user_id: str, app_id: str, pushkey: str) -> tuple[list[Twin], list[DirectPusher]]:
        """Pushers of other users by the same name, which `append: false` replaces."""
        key = (app_id, pushkey)
        twins = [mine[key] for user, mine in self._twins_of.items() if user != user_id and key in mine]
        direct = [mine[key] for user, mine in self._direct.items() if user != user_id and key in mine]
        return twins, direct

    async def put_twin(self, twin: Twin) -> None:
        await self._database.transaction(partial(_write_twin, twin))
        self._remember_twin(twin)

    async def put_direct(self, pusher: DirectPusher) -> None:
        await self._database.transaction(partial(_write_direct, pusher))
        self._remember_direct(pusher)

    async def drop(self, twins: Iterable[Twin] = (), direct: Iterable[DirectPusher] = ()) -> None:
        """Those that are not there are passed over."""
        twins, direct = list(twins), list(direct)
        await self._database.transaction(partial(_delete, twins, direct))
        for twin in twins:
            self._twins.pop(twin.hidden_pushkey, None)
            _pop(self._twins_of, twin.user_id, (twin.app_id, twin.pushkey))
        for pusher in direct:
            _pop(self._direct, pusher.user_id, (pusher.app_id, pusher.pushkey))

    def _remember_twin(self, twin: Twin) -> None:
        mine = self._twins_of.setdefault(twin.user_id, {})
        replaced = mine.get((twin.app_id, twin.pushkey))
        if replaced is not None:
            self._twins.pop(replaced.hidden_pushkey, None)
        self._twins[twin.hidden_pushkey] = mine[(twin.app_id, twin.pushkey)] = twin

    def _remember_direct(self, pusher: DirectPusher) -> None:
        self._direct.setdefault(pusher.user_id, {})[(pusher.app_id, pusher.pushkey)] = pusher


def _pop(table: dict[str, dict[tuple[str, str], T]], user_id: str, key: tuple[str, str]) -> None:
    mine = table.get(user_id, {})
    mine.pop(key, None)
    if not mine:
        table.pop(user_id, None)


def _read(db: sqlite3.Connection) -> tuple[list[Twin], list[DirectPusher]]:
    twins = [
        Twin(key, user, app, pushkey, url, json.loads(original), bool(enabled), device, bool(adopted))
        for key, user, app, pushkey, url, original, enabled, device, adopted in db.execute(
            "SELECT hidden_pushkey, user_id, app_id, pushkey, url, original, is_enabled, device_id, is_adopted"
            " FROM twins"
        )
    ]
    direct = [
        DirectPusher(user, device, app, pushkey, kind, bool(on), delay, active, _pairs(pairs), json.loads(text), waker)
        for user, device, app, pushkey, kind, on, delay, active, pairs, text, waker in db.execute(
            "SELECT user_id, device_id, app_id, pushkey, kind, is_enabled, delay_ms, active_ms, fallback, original,"
            " waker FROM direct_pushers"
        )
    ]
    return twins, direct


def _pairs(text: str | None) -> frozenset[tuple[str, str]] | None:
    return None if text is None else frozenset((app_id, pushkey) for app_id, pushkey in json.loads(text))


def _write_twin(twin: Twin, db: sqlite3.Connection) -> None:
    key = (twin.user_id, twin.app_id, twin.pushkey)
    db.execute("DELETE FROM twins WHERE user_id = ? AND app_id = ? AND pushkey = ?", key)
    db.execute(
        "INSERT INTO twins VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            twin.hidden_pushkey,
            *key,
            twin.url,
            json.dumps(twin.original),
            twin.is_enabled,
            twin.device_id,
            twin.is_adopted,
        ),
    )


def _write_direct(pusher: DirectPusher, db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT OR REPLACE INTO direct_pushers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            pusher.user_id,
            pusher.app_id,
            pusher.pushkey,
            pusher.device_id,
            pusher.kind,
            pusher.is_enabled,
            pusher.delay_ms,
            pusher.active_ms,
            None if pusher.fallback is None else json.dumps(sorted(pusher.fallback)),
            json.dumps(pusher.original),
            pusher.waker,
        ),
    )


def _delete(twins: list[Twin], direct: list[DirectPusher], db: sqlite3.Connection) -> None:
    for twin in twins:
        db.execute("DELETE FROM twins WHERE hidden_pushkey = ?", (twin.hidden_pushkey,))
    for pusher in direct:
        key = (pusher.user_id, pusher.app_id, pusher.pushkey)
        db.execute("DELETE FROM direct_pushers WHERE user_id = ? AND app_id = ? AND pushkey = ?", key)
