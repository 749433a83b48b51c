"""Stores mutes that end by themselves."""

from __future__ import annotations

import sqlite3

from heliograph.core.ids import RoomId
from heliograph.core.push.timed_mute import TimedMute
from heliograph.store.columns import fit, to_integer, to_text


def read_mutes(db: sqlite3.Connection) -> list[TimedMute]:
    """All mutes, the one that ends first at the front."""
    rows = db.execute("SELECT room_id, rule_id, until_ms, was_there FROM mutes ORDER BY until_ms")
    found = rows.fetchall()
    for row in found:
        fit(row, (str, str, int, int))
    return [TimedMute(room_id, rule_id, until_ms, bool(was_there)) for room_id, rule_id, until_ms, was_there in found]


def write_mute(db: sqlite3.Connection, mute: TimedMute) -> None:
    db.execute(
        "INSERT OR REPLACE INTO mutes (room_id, rule_id, until_ms, was_there) VALUES (?, ?, ?, ?)",
        (to_text(mute.room_id), to_text(mute.rule_id), to_integer(mute.until_ms), mute.was_there),
    )


def delete_mute(db: sqlite3.Connection, room_id: RoomId) -> None:
    db.execute("DELETE FROM mutes WHERE room_id = ?", (to_text(room_id),))
