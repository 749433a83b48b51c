"""What was found out about senders' devices, in crypto.db: bounded, the oldest forgotten first."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

from heliograph.core.encryption.values import SenderDevice

MOST_KEPT = 5000
SIGNED_GOOD_MS = 7 * 24 * 3_600_000
UNSIGNED_GOOD_MS = 3_600_000
"""Shorter, since a device's owner may sign it at any time."""

_FIND = (
    "SELECT is_signed FROM sender_devices WHERE user_id = ? AND curve25519 = ? AND ed25519 = ?"
    # abs: a clock that was set back must not make an answer good for years.
    " AND abs(? - checked_ms) < CASE is_signed WHEN 1 THEN ? ELSE ? END"
)


def read_signed(db: sqlite3.Connection, devices: Collection[SenderDevice], now_ms: int) -> dict[SenderDevice, bool]:
    """Whether they are signed by their owners; those that are not known well enough are missing."""
    found = {}
    for each in devices:
        words = (each.user_id, each.curve25519, each.ed25519, now_ms, SIGNED_GOOD_MS, UNSIGNED_GOOD_MS)
        if (row := db.execute(_FIND, words).fetchone()) is not None:
            found[each] = row[0] == 1
    return found


def write(db: sqlite3.Connection, looked_up: Mapping[SenderDevice, bool], now_ms: int) -> None:
    """Keeps what was looked up now."""
    db.executemany(
        "INSERT OR REPLACE INTO sender_devices VALUES (?, ?, ?, ?, ?)",
        [(each.user_id, each.curve25519, each.ed25519, is_signed, now_ms) for each, is_signed in looked_up.items()],
    )
    (held,) = db.execute("SELECT count(*) FROM sender_devices").fetchone()
    if held > MOST_KEPT:
        db.execute(
            "DELETE FROM sender_devices WHERE (user_id, curve25519, ed25519) IN"
            " (SELECT user_id, curve25519, ed25519 FROM sender_devices ORDER BY checked_ms LIMIT ?)",
            (held - MOST_KEPT,),
        )
