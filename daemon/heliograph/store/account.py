"""Reads and writes the account's own state: the sync token, account data, the switches of pushers."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from heliograph.core.events import AccountData
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.record import AccountState
from heliograph.store.columns import fit, from_json, to_integer, to_json, to_text

log = logging.getLogger(__name__)

_KINDS: Mapping[str, type] = {
    "push_rules": dict,
    "rules_problem": str,
    "direct_rooms": list,
    "ignored_users": list,
    "shows_invite_avatars": bool,
}


def read_account(db: sqlite3.Connection) -> AccountState:
    """The account's state; before the first sync, its defaults. Raises ValueError if the row cannot be read."""
    row = db.execute(
        "SELECT next_batch, last_sync_ms, is_silenced, is_pusher_enabled, fallback_app_id, fallback_pushkey,"
        " has_counted FROM account"
    ).fetchone()
    if row is None:
        raise ValueError("the account's row is gone")
    # SQLite's columns take a value of any type, so types are checked whenever a row is read.
    fit(row, (str | None, int, int, int, str | None, str | None, int))
    next_batch, last_sync_ms, is_silenced, is_pusher_enabled, app_id, pushkey, has_counted = row
    data = {name: _read(name, content) for name, content in db.execute("SELECT name, content FROM account_data")}
    return AccountState(
        next_batch=next_batch,
        push_rules=data.get("push_rules"),
        rules_problem=data.get("rules_problem") or None,
        direct_rooms=frozenset(data.get("direct_rooms") or ()),
        ignored_users=frozenset(data.get("ignored_users") or ()),
        is_silenced=bool(is_silenced),
        shows_invite_avatars=data.get("shows_invite_avatars") is not False,
        is_pusher_enabled=bool(is_pusher_enabled),
        last_sync_ms=last_sync_ms,
        switched_off=frozenset(db.execute("SELECT app_id, pushkey FROM switched_off").fetchall()),
        fallback=(app_id, pushkey) if app_id is not None else None,
        has_counted=bool(has_counted),
    )


def merge_account_data(db: sqlite3.Connection, data: AccountData) -> None:
    """Writes those fields of `data` that are set. A field that is None came with no sync, and keeps its last value."""
    _write(db, "push_rules", data.push_rules)
    _write(db, "rules_problem", data.rules_problem)
    _write(db, "direct_rooms", data.direct_rooms)
    _write(db, "ignored_users", data.ignored_users)
    _write(db, "shows_invite_avatars", data.shows_invite_avatars)
    if data.is_silenced is not None:
        db.execute("UPDATE account SET is_silenced = ?", (data.is_silenced,))


def write_token(db: sqlite3.Connection, next_batch: str) -> None:
    """Replaces the sync token."""
    db.execute("UPDATE account SET next_batch = ?", (to_text(next_batch),))


def write_sync_time(db: sqlite3.Connection, now_ms: int) -> None:
    """Notes when a sync came that changed more than the token."""
    db.execute("UPDATE account SET last_sync_ms = ?", (to_integer(now_ms),))


def write_counted(db: sqlite3.Connection) -> None:
    """Notes that the homeserver counted something as unread."""
    db.execute("UPDATE account SET has_counted = 1")


def write_pusher_enabled(db: sqlite3.Connection, is_enabled: bool) -> None:
    db.execute("UPDATE account SET is_pusher_enabled = ?", (is_enabled,))


def write_switched_off(db: sqlite3.Connection, keys: Collection[PusherKey]) -> None:
    """Replaces the list of pushers that the handoff has switched off."""
    db.execute("DELETE FROM switched_off")
    rows = [(to_text(app_id), to_text(pushkey)) for app_id, pushkey in keys]
    db.executemany("INSERT OR IGNORE INTO switched_off (app_id, pushkey) VALUES (?, ?)", rows)


def write_fallback(db: sqlite3.Connection, key: PusherKey | None) -> None:
    app_id, pushkey = (None, None) if key is None else (to_text(key[0]), to_text(key[1]))
    db.execute("UPDATE account SET fallback_app_id = ?, fallback_pushkey = ?", (app_id, pushkey))


def account_data_fault(name: str, content: object) -> str | None:
    """Why a row of account data cannot be read; None: it can."""
    try:
        _parse(name, content)
    except ValueError as error:
        return str(error)
    return None


def _read(name: str, content: object) -> Any:
    try:
        return _parse(name, content)
    except ValueError:
        log.warning("The ledger's %s cannot be read and count as unknown", name)
        return None


def _parse(name: str, content: object) -> Any:
    if not isinstance(content, str):
        raise ValueError("it is no text")
    value = from_json(content)
    is_sound = isinstance(value, _KINDS.get(name, object))
    if not is_sound or (isinstance(value, list) and not all(isinstance(each, str) for each in value)):
        raise ValueError("it is of another shape")
    return value


def _write(db: sqlite3.Connection, name: str, content: Any) -> None:
    if content is None:
        return
    try:
        text = to_json(content)
    except ValueError as error:
        # The sync goes on without: old push rules are better than none, and the same rules would come again and again.
        log.warning("The homeserver's %s cannot be kept, the ones before stay: %s", name, error)
        return
    db.execute("INSERT OR REPLACE INTO account_data (name, content) VALUES (?, ?)", (name, text))
