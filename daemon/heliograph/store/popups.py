"""Stores which popups are on screen, as far as we know."""

from __future__ import annotations

import sqlite3

from heliograph.core.notification import Popup
from heliograph.core.record import PopupRecord
from heliograph.store.columns import fit, to_integer, to_text

LARGEST_ID = 2**32 - 1
"""The largest id of a notification: org.freedesktop.Notifications counts with 32 bits."""
_MOST_SENDERS = 10
_KINDS = (str, str, int, str, int, int)


def read_popups(db: sqlite3.Connection) -> list[PopupRecord]:
    rows = db.execute(
        "SELECT key, server, popup_id, digest, is_stale,"
        " (SELECT count(*) FROM deliveries WHERE popup_key = key AND state = 'shown') FROM popups ORDER BY key"
    ).fetchall()
    for row in rows:
        fit(row, _KINDS)
        if not 0 <= row[2] <= LARGEST_ID:
            raise ValueError("there is no such popup")
    return [
        PopupRecord(key, Popup(server, popup_id), digest, bool(is_stale), size, _senders(db, key))
        for key, server, popup_id, digest, is_stale, size in rows
    ]


def _senders(db: sqlite3.Connection, key: str) -> tuple[str, ...]:
    rows = db.execute(
        "SELECT DISTINCT sender_name FROM deliveries WHERE popup_key = ? AND state = 'shown'"
        " AND sender_name IS NOT NULL LIMIT ?",
        (key, _MOST_SENDERS),
    )
    return tuple(name for (name,) in rows)


def write_popup(db: sqlite3.Connection, record: PopupRecord) -> None:
    """Adds the popup, or replaces the one with the same key, which keeps its deliveries."""
    # Not INSERT OR REPLACE: that deletes the old row, and the deliveries would lose their popup (ON DELETE SET NULL).
    db.execute(
        "INSERT INTO popups (key, server, popup_id, digest, is_stale) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET server = excluded.server, popup_id = excluded.popup_id,"
        " digest = excluded.digest, is_stale = excluded.is_stale",
        (
            to_text(record.key),
            to_text(record.popup.server),
            to_integer(record.popup.id),
            to_text(record.digest),
            record.is_stale,
        ),
    )


def mark_stale(db: sqlite3.Connection, key: str) -> None:
    db.execute("UPDATE popups SET is_stale = 1 WHERE key = ?", (to_text(key),))


def delete_popup(db: sqlite3.Connection, key: str) -> None:
    """Forgets the popup. Deliveries that it still shows are in no popup afterwards (ON DELETE SET NULL)."""
    db.execute("DELETE FROM popups WHERE key = ?", (to_text(key),))


def renew_popups_of_other_servers(db: sqlite3.Connection, server: str | None) -> None:
    """Has these popups shown anew: each loses its id and its digest, and keeps its deliveries."""
    db.execute(
        "UPDATE popups SET server = ?, popup_id = 0, digest = '', is_stale = 1 WHERE server IS NOT ?",
        ("" if server is None else to_text(server), None if server is None else to_text(server)),
    )


def delete_popups_of_other_servers(db: sqlite3.Connection, server: str | None) -> None:
    # IS NOT: with != a NULL (no server) would match no row.
    db.execute("DELETE FROM popups WHERE server IS NOT ?", (None if server is None else to_text(server),))
