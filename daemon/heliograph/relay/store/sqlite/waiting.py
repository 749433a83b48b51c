"""Bounds what waits in SQL: for each pusher, for each user, and in all. Beyond a bound the oldest pushes are given up.

In all, the user goes first of whom most waits: whoever fills the disk fills their own share alone.
Test: test_what_waits_in_all_has_an_end_and_costs_the_one_of_whom_most_waits.
"""

from __future__ import annotations

import sqlite3

from heliograph.relay.model.pushes import MOST_BYTES, MOST_BYTES_OF_ALL, MOST_BYTES_OF_USER, Changes, Push, Why
from heliograph.relay.store.sqlite.queue import settle

ALL = "*"
"""All users together in `waiting_sums`. No user has this id."""


def shorten(db: sqlite3.Connection, push: Push, most: int, changes: Changes) -> None:
    """Gives up what is too much now that this push waits. `most`: how many may wait for its pusher."""
    _shorten_queue(db, push.hidden_pushkey, most, changes)
    _shorten_user(db, push.user_id, MOST_BYTES_OF_USER, changes)
    while _bytes_of(db, ALL) > MOST_BYTES_OF_ALL:
        user_id, size = db.execute(
            "SELECT user_id, bytes FROM waiting_sums WHERE user_id <> ? ORDER BY bytes DESC LIMIT 1", (ALL,)
        ).fetchone()
        _shorten_user(db, user_id, size - 1, changes)


def _shorten_queue(db: sqlite3.Connection, hidden_pushkey: str, most: int, changes: Changes) -> None:
    count = size = 0
    # From the newest on: everything behind the first one beyond the bounds is older, and goes.
    for position, length in db.execute(
        "SELECT position, size FROM pushes WHERE hidden_pushkey = ? AND outcome IS NULL ORDER BY position DESC",
        (hidden_pushkey,),
    ):
        count, size = count + 1, size + length
        if count > most or size > MOST_BYTES:
            condition = "hidden_pushkey = ? AND position <= ?"
            settle(db, condition, (hidden_pushkey, position), Why.OVERFLOW, changes)
            return


def _shorten_user(db: sqlite3.Connection, user_id: str, most: int, changes: Changes) -> None:
    """Gives up the user's oldest pushes, so that no more than `most` bytes wait."""
    rest = _bytes_of(db, user_id)
    if rest <= most:
        return
    # A tenth more, so that not each further push has to look for the oldest.
    rows = db.execute(
        "SELECT position, size FROM pushes WHERE user_id = ? AND outcome IS NULL ORDER BY position", (user_id,)
    ).fetchall()
    for position, length in rows:
        rest -= length
        if rest <= most - most // 10:
            settle(db, "user_id = ? AND position <= ?", (user_id, position), Why.OVERFLOW, changes)
            return


def _bytes_of(db: sqlite3.Connection, user_id: str) -> int:
    row = db.execute("SELECT bytes FROM waiting_sums WHERE user_id = ?", (user_id,)).fetchone()
    return 0 if row is None else int(row[0])
