"""Remembers in SQL which events are settled, for pushes that come later than that: within bounds, whoever asks for it.

A user is free to mark any event id as read. What is remembered of one user, and of all, has an end: then the oldest is
forgotten, whose push has come long ago. Test: test_what_is_remembered_of_a_user_has_an_end.
"""

from __future__ import annotations

import sqlite3

ALL = "*"
"""All users together in `settled_sums`. No user has this id."""
MOST_ENTRIES = {False: 2_000, True: 1_000_000}
MOST_BYTES = {False: 40 * 1024, True: 64 * 1024 * 1024}
"""Bounds of one user, and of all together. On the disk an entry takes up to four times the bytes of its texts."""
_KEY = "event_id, user_id, why, detail, room_id"


def remember(
    db: sqlite3.Connection, user_id: str, event_id: str, why: str, detail: str, room_id: str, now_ms: int
) -> None:
    """The event is settled for the user."""
    # No REPLACE: that deletes a row without its triggers, which count.
    db.execute(
        f"INSERT INTO settled ({_KEY}, settled_ms) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
        " ON CONFLICT DO UPDATE SET settled_ms = excluded.settled_ms",
        (event_id, user_id, why, detail, room_id, now_ms),
    )
    _forget_beyond(db, user_id)
    _forget_beyond(db, ALL)


def _forget_beyond(db: sqlite3.Connection, user_id: str) -> None:
    is_all = user_id == ALL
    whose = "true" if is_all else "user_id = ?"
    while True:
        entries, size = db.execute("SELECT entries, bytes FROM settled_sums WHERE user_id = ?", (user_id,)).fetchone()
        if entries <= MOST_ENTRIES[is_all] and size <= MOST_BYTES[is_all]:
            return
        # A tenth at once, so that not each further entry has to look for the oldest.
        db.execute(
            f"DELETE FROM settled WHERE ({_KEY}) IN"  # noqa: S608
            f" (SELECT {_KEY} FROM settled WHERE {whose} ORDER BY settled_ms LIMIT ?)",
            (*(() if is_all else (user_id,)), max(entries // 10, 1)),
        )
