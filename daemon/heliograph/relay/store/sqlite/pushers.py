"""Direct pushers and twins in relay.db."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from sys import intern

from heliograph.relay.model.pushers import DirectPusher, Twin
from heliograph.relay.ports import MOST_WITHDRAWN, StoredPushers
from heliograph.relay.store.sqlite.group_commit import Transactions
from heliograph.relay.store.sqlite.kept_json import KeptJson


class SqlitePusherStore:
    """`ports.PusherStore`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def load(self) -> StoredPushers:
        return await self._transactions.read(
            lambda db: StoredPushers(select_twins(db), _read_direct(db), _read_withdrawn(db))
        )

    async def users_with(self, app_id: str, pushkey: str) -> set[str]:
        return await self._transactions.read(lambda db: _users_with(db, app_id, pushkey))

    async def put_twin(self, twin: Twin) -> None:
        await self._transactions.transaction(lambda db: _write_twin(db, twin))

    async def put_direct(self, pusher: DirectPusher) -> None:
        await self._transactions.transaction(lambda db: _write_direct(db, pusher))

    async def delete(self, twins: Collection[Twin], direct: Collection[DirectPusher]) -> None:
        await self._transactions.transaction(lambda db: _delete(db, twins, direct))


# Users, apps and gateways repeat from row to row: each of them is kept once (`intern`).


def select_twins(db: sqlite3.Connection) -> list[Twin]:
    """All twins."""
    return [
        Twin(
            key,
            intern(user),
            intern(app),
            pushkey,
            None if url is None else intern(url),
            KeptJson(original),
            bool(enabled),
            device,
            bool(adopted),
        )
        for key, user, app, pushkey, url, original, enabled, device, adopted in db.execute(
            "SELECT hidden_pushkey, user_id, app_id, pushkey, url, original, is_enabled, device_id, is_adopted"
            " FROM twins"
        )
    ]


def _read_direct(db: sqlite3.Connection) -> list[DirectPusher]:
    return [
        DirectPusher(
            intern(user),
            device,
            intern(app),
            pushkey,
            intern(kind),
            bool(on),
            delay,
            active,
            _pairs(pairs),
            KeptJson(text),
            waker,
        )
        for user, device, app, pushkey, kind, on, delay, active, pairs, text, waker in db.execute(
            "SELECT user_id, device_id, app_id, pushkey, kind, is_enabled, delay_ms, active_ms, fallback, original,"
            " waker FROM direct_pushers"
        )
    ]


def _read_withdrawn(db: sqlite3.Connection) -> list[str]:
    return [key for (key,) in db.execute("SELECT hidden_pushkey FROM withdrawn ORDER BY serial")]


def _users_with(db: sqlite3.Connection, app_id: str, pushkey: str) -> set[str]:
    rows = db.execute(
        "SELECT user_id FROM twins WHERE app_id = :app_id AND pushkey = :pushkey"
        " UNION SELECT user_id FROM direct_pushers WHERE app_id = :app_id AND pushkey = :pushkey",
        {"app_id": app_id, "pushkey": pushkey},
    )
    return {user_id for (user_id,) in rows}


def _pairs(text: str | None) -> frozenset[tuple[str, str]] | None:
    return None if text is None else frozenset((app_id, pushkey) for app_id, pushkey in json.loads(text))


def _write_twin(db: sqlite3.Connection, twin: Twin) -> None:
    key = (twin.user_id, twin.app_id, twin.pushkey)
    # A former twin of that name may have another hidden pushkey, which is the primary key. One of the same hidden
    # pushkey is replaced: it may have been nobody's so far.
    db.execute("DELETE FROM twins WHERE user_id = ? AND app_id = ? AND pushkey = ?", key)
    db.execute(
        "INSERT OR REPLACE INTO twins VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            twin.hidden_pushkey,
            *key,
            twin.url,
            json.dumps(dict(twin.original)),
            twin.is_enabled,
            twin.device_id,
            twin.is_adopted,
        ),
    )


def _write_direct(db: sqlite3.Connection, pusher: DirectPusher) -> None:
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
            json.dumps(dict(pusher.original)),
            pusher.waker,
        ),
    )


def _delete(db: sqlite3.Connection, twins: Collection[Twin], direct: Collection[DirectPusher]) -> None:
    for twin in twins:
        db.execute("DELETE FROM twins WHERE hidden_pushkey = ?", (twin.hidden_pushkey,))
        db.execute("INSERT OR IGNORE INTO withdrawn (hidden_pushkey) VALUES (?)", (twin.hidden_pushkey,))
    if twins:
        # Serials grow by one, but for the few that a repeated pushkey leaves out.
        db.execute("DELETE FROM withdrawn WHERE serial <= (SELECT max(serial) FROM withdrawn) - ?", (MOST_WITHDRAWN,))
    for pusher in direct:
        key = (pusher.user_id, pusher.app_id, pusher.pushkey)
        db.execute("DELETE FROM direct_pushers WHERE user_id = ? AND app_id = ? AND pushkey = ?", key)
