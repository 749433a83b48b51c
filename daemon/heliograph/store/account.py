"""The account's own state: the sync token, account data, whether our pusher may ring."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from heliograph.core.events import AccountData
from heliograph.core.record import AccountState
from heliograph.store.columns import from_json, to_integer, to_json, to_text

log = logging.getLogger(__name__)


def read_account(db: sqlite3.Connection) -> AccountState:
    """The defaults before the first start."""
    next_batch, last_sync_ms, is_silenced, is_pusher_enabled = db.execute(
        "SELECT next_batch, last_sync_ms, is_silenced, is_pusher_enabled FROM account"
    ).fetchone()
    data = {name: _read(name, content) for name, content in db.execute("SELECT name, content FROM account_data")}
    return AccountState(
        next_batch=next_batch,
        push_rules=data.get("push_rules"),
        direct_rooms=frozenset(data.get("direct_rooms") or ()),
        ignored_users=frozenset(data.get("ignored_users") or ()),
        is_silenced=bool(is_silenced),
        is_pusher_enabled=bool(is_pusher_enabled),
        last_sync_ms=last_sync_ms,
    )


def merge_account_data(db: sqlite3.Connection, data: AccountData) -> None:
    """Writes what changed."""
    _write(db, "push_rules", data.push_rules)
    _write(db, "direct_rooms", data.direct_rooms)
    _write(db, "ignored_users", data.ignored_users)
    if data.is_silenced is not None:
        db.execute("UPDATE account SET is_silenced = ?", (data.is_silenced,))


def write_token(db: sqlite3.Connection, next_batch: str) -> None:
    """The token alone: a sync that changed nothing else is none that `last_sync_ms` tells of."""
    db.execute("UPDATE account SET next_batch = ?", (to_text(next_batch),))


def write_sync(db: sqlite3.Connection, next_batch: str, now_ms: int) -> None:
    """The token of a sync that changed something, and when."""
    db.execute("UPDATE account SET next_batch = ?, last_sync_ms = ?", (to_text(next_batch), to_integer(now_ms)))


def write_pusher_enabled(db: sqlite3.Connection, is_enabled: bool) -> None:
    db.execute("UPDATE account SET is_pusher_enabled = ?", (is_enabled,))


def _read(name: str, content: str) -> Any:
    try:
        return from_json(content)
    except ValueError:
        log.warning("The ledger's %s cannot be read and count as unknown", name)
        return None


def _write(db: sqlite3.Connection, name: str, content: Any) -> None:
    if content is None:
        return
    try:
        text = to_json(content)
    except ValueError as error:
        log.warning("The homeserver's %s cannot be kept, the ones before stay: %s", name, error)
        return
    db.execute("INSERT OR REPLACE INTO account_data (name, content) VALUES (?, ?)", (name, text))
