"""Finds rows of the ledger that cannot be read and sets them aside, so that all others can be read again.

Such a row is the work of a fault of ours or of the disk. It is kept as text for as long as the history. A row on which
others depend (the account's, a room's) is mended instead: what cannot be read of it counts as unknown from then on.

Rows are looked through at the start and when reading one fails. Types are checked, since SQLite's columns take any.
Test: test_garbage_is_set_aside_at_the_start_and_said.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from heliograph.core.delivery import State
from heliograph.core.notification import Category
from heliograph.core.record import Decision
from heliograph.core.value_type import value_type
from heliograph.store.account import account_data_fault
from heliograph.store.columns import to_integer
from heliograph.store.deliveries import OPEN
from heliograph.store.locked import event_fault
from heliograph.store.popups import LARGEST_ID
from heliograph.store.rooms import facts_fault

MOST = 1_000
"""The most rows that are kept aside, of which the oldest give way; also the most that are looked for at once."""
_WIDEST = 4_000
"""The most characters that are kept of a row."""


@value_type
class Unreadable:
    """A row that cannot be read. `why` says what is wrong, without quoting the contents."""

    table: str
    key: tuple[Any, ...]
    why: str

    @property
    def words(self) -> str:
        """The row in words for people, like `judged $event: no such decision`."""
        names = " ".join(part if isinstance(part, str) else repr(part) for part in self.key)
        return f"{self.table} {names}: {self.why}".replace(" :", ":")


@value_type
class _Table:
    """What a sound row of a table is like: by themselves, SQLite's columns take values of any type."""

    key: tuple[str, ...]
    texts: tuple[str, ...] = ()
    texts_or_null: tuple[str, ...] = ()
    integers: tuple[str, ...] = ()
    integers_or_null: tuple[str, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Further conditions of a sound row in SQL, each with words for a row that breaks it."""
    content: tuple[str, Callable[..., str | None]] | None = None
    """Columns that SQL cannot check, separated by commas, and the function that tells what is wrong with them."""
    mended: str | None = None
    """The assignments that mend such a row; None: it is removed."""

    @property
    def types(self) -> dict[str, tuple[str, ...]]:
        """The types that a column's values may have, in SQLite's words."""
        return {
            **dict.fromkeys(self.texts, ("text",)),
            **dict.fromkeys(self.texts_or_null, ("text", "null")),
            **dict.fromkeys(self.integers, ("integer",)),
            **dict.fromkeys(self.integers_or_null, ("integer", "null")),
        }


def _is_among(column: str, values: type[State] | type[Category] | type[Decision]) -> str:
    return f"{column} IN ({', '.join(repr(each.value) for each in values)})"


_TABLES = {
    "account_data": _Table(("name",), texts=("name", "content"), content=("name, content", account_data_fault)),
    "judged": _Table(
        ("event_id",),
        texts=("event_id", "decision", "reason", "encryption"),
        texts_or_null=("room_id", "rule", "sender", "thread_root"),
        integers=("origin_server_ts", "judged_ms"),
        integers_or_null=("place",),
        conditions={_is_among("decision", Decision): "no such decision"},
    ),
    "deliveries": _Table(
        ("event_id",),
        texts=("event_id", "room_id", "sender", "state", "why"),
        texts_or_null=(
            *("thread_root", "edits", "popup_key", "room_title", "sender_name", "text", "category", "sound", "markup"),
            *("avatar", "thread", "call_id"),
        ),
        integers=("attempts", "due_ms"),
        integers_or_null=("is_direct", "is_highlight", "rings_until_ms", "can_decline"),
        conditions={
            _is_among("state", State): "no such state",
            f"category IS NULL OR {_is_among('category', Category)}": "no such category",
            f"NOT {OPEN} OR (room_title || sender_name || text || category) IS NOT NULL": "it says nothing",
        },
    ),
    "popups": _Table(
        ("key",),
        texts=("key", "server", "digest"),
        integers=("popup_id", "is_stale"),
        conditions={f"popup_id BETWEEN 0 AND {LARGEST_ID}": "no such popup"},
    ),
    "rooms": _Table(
        ("room_id",),
        texts=("room_id", "facts"),
        integers=("invite_serial",),
        content=("facts", facts_fault),
        # The serial is kept as far as it is a number: with a smaller
        # one, a new invite would have an old id and not ring.
        mended="facts = '{}', invite_serial = CAST(invite_serial AS INTEGER)",
    ),
    "members": _Table(
        ("room_id", "user_id"),
        texts=("room_id", "user_id", "display_name"),
        texts_or_null=("avatar_url",),
        integers=("seen_ms",),
    ),
    "locked": _Table(
        ("event_id",),
        texts=("event_id", "room_id", "session_id", "event"),
        integers=("kept_ms",),
        content=("event_id, room_id, event", event_fault),
    ),
    "mutes": _Table(("room_id",), texts=("room_id", "rule_id"), integers=("until_ms", "was_there")),
    "switched_off": _Table(("app_id", "pushkey"), texts=("app_id", "pushkey")),
}
# A place that is given twice would have a receipt read what stands below it.
_LAST_PLACE = "(SELECT coalesce(max(place), 0) FROM judged WHERE typeof(place) = 'integer')"
_ACCOUNT = {
    "next_batch": ("NULL", ("text", "null")),
    "last_sync_ms": ("0", ("integer",)),
    "is_silenced": ("0", ("integer",)),
    "is_pusher_enabled": ("1", ("integer",)),
    "fallback_app_id": ("NULL", ("text", "null")),
    "fallback_pushkey": ("NULL", ("text", "null")),
    "last_place": (_LAST_PLACE, ("integer",)),
    "has_counted": ("0", ("integer",)),
}
"""The columns of the account's row, each with the value that stands for unknown and its types in SQLite's words."""


def find_unreadable(db: sqlite3.Connection) -> list[Unreadable]:
    """Up to MOST rows that cannot be read. Changes nothing."""
    found = _find_in_account(db)
    for name, table in _TABLES.items():
        found += _find_in(db, name, table)
    return found[:MOST]


def set_aside_unreadable(db: sqlite3.Connection) -> list[Unreadable]:
    """Sets rows that cannot be read aside, or mends them. Returns these rows."""
    found = find_unreadable(db)
    for each in found:
        if each.table == "account":
            _mend_account(db, each)
        else:
            _move(db, each, _TABLES[each.table])
    if found:
        db.execute(
            "DELETE FROM set_aside WHERE serial NOT IN (SELECT serial FROM set_aside ORDER BY serial DESC LIMIT ?)",
            (MOST,),
        )
    return found


def read_set_aside(db: sqlite3.Connection) -> list[Unreadable]:
    """The rows that were set aside, the oldest first."""
    rows = db.execute("SELECT origin, key, why FROM set_aside ORDER BY serial")
    return [Unreadable(origin, (key,), why) for origin, key, why in rows]


def prune_set_aside(db: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """Forgets at most `limit` rows that are older. Returns how many."""
    return db.execute(
        "DELETE FROM set_aside WHERE serial IN (SELECT serial FROM set_aside WHERE set_aside_ms < ? LIMIT ?)",
        (to_integer(before_ms), limit),
    ).rowcount


def forget_set_aside(db: sqlite3.Connection) -> None:
    """Forgets all rows that were set aside: they may hold what messages said."""
    db.execute("DELETE FROM set_aside")


def _find_in_account(db: sqlite3.Connection) -> list[Unreadable]:
    if db.execute("SELECT 1 FROM account WHERE id = 1").fetchone() is None:
        return [Unreadable("account", (), "it is gone")]
    types = ", ".join(f"typeof({column})" for column in _ACCOUNT)
    row = db.execute(f"SELECT {types} FROM account").fetchone()
    return [
        Unreadable("account", (column,), f"{column} is of the type {type_}")
        for (column, (_, types_)), type_ in zip(_ACCOUNT.items(), row, strict=True)
        if type_ not in types_
    ]


def _mend_account(db: sqlite3.Connection, row: Unreadable) -> None:
    if not row.key:
        db.execute(f"INSERT INTO account (id, last_place) VALUES (1, {_LAST_PLACE})")
    for column in row.key:
        (value,) = db.execute(f"SELECT {column} FROM account").fetchone()
        _keep(db, row, {column: value})
        db.execute(f"UPDATE account SET {column} = {_ACCOUNT[column][0]}")


def _find_in(db: sqlite3.Connection, name: str, table: _Table) -> list[Unreadable]:
    rules = {
        f"typeof({column}) IN ({', '.join(map(repr, types))})": f"{column} is of a type that it never has"
        for column, types in table.types.items()
    }
    rules |= {f"({condition})": why for condition, why in table.conditions.items()}
    found: dict[tuple[Any, ...], Unreadable] = {}
    # One pass with all rules together first: most often no row breaks any, and the table is read once.
    if _keys_against(db, name, table, " AND ".join(rules)):
        for condition, why in rules.items():
            for key in _keys_against(db, name, table, condition):
                found.setdefault(key, Unreadable(name, key, why))
    if table.content is not None:
        columns, fault_of = table.content
        width = len(table.key)
        for row in db.execute(f"SELECT {', '.join(table.key)}, {columns} FROM {name}").fetchall():
            key = tuple(row[:width])
            if key not in found and (fault := fault_of(*row[width:])) is not None:
                found[key] = Unreadable(name, key, fault)
    return list(found.values())


def _keys_against(db: sqlite3.Connection, name: str, table: _Table, condition: str) -> list[tuple[Any, ...]]:
    """The keys of rows that break this condition."""
    # coalesce: a condition on NULL is neither true nor false, and NOT of it finds nothing.
    keys = ", ".join(table.key)
    return db.execute(f"SELECT {keys} FROM {name} WHERE NOT coalesce({condition}, 0) LIMIT {MOST}").fetchall()


def _move(db: sqlite3.Connection, row: Unreadable, table: _Table) -> None:
    # IS and not =: a part of the key may be NULL here.
    where = " AND ".join(f"{column} IS ?" for column in table.key)
    cursor = db.execute(f"SELECT * FROM {row.table} WHERE {where}", row.key)
    names = [each[0] for each in cursor.description]
    for values in cursor.fetchall():
        _keep(db, row, dict(zip(names, values, strict=True)))
    if table.mended is not None and all(isinstance(part, str) for part in row.key):
        db.execute(f"UPDATE {row.table} SET {table.mended} WHERE {where}", row.key)
    else:
        db.execute(f"DELETE FROM {row.table} WHERE {where}", row.key)


def _keep(db: sqlite3.Connection, row: Unreadable, values: Mapping[str, Any]) -> None:
    # repr: bytes, which JSON does not have, may be what is wrong.
    content = json.dumps(values, default=repr)[:_WIDEST]
    key = " ".join(part if isinstance(part, str) else repr(part) for part in row.key)
    db.execute(
        "INSERT INTO set_aside (origin, key, content, why, set_aside_ms)"
        " VALUES (?, ?, ?, ?, 1000 * CAST(strftime('%s', 'now') AS INTEGER))",
        (row.table, key, content, row.why),
    )
