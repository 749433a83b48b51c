"""Waiting pushes taken back in SQL: acknowledged, read, redacted, left, cleared, or their pusher gone.

Plain functions over the connection. That an event is settled is remembered for two days, since its push may come later:
/sync was first with every second event. Test: test_a_push_that_comes_after_its_acknowledgement_never_goes_out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from heliograph.relay.model.pushes import Changes, Push, Why
from heliograph.relay.store.sqlite.queue import settle

EVERYONE = ""
_UP_TO = "read_up_to"
"""`why` in the table of settled events: the event is read, and what came before it."""


def acknowledge(
    db: sqlite3.Connection,
    user_id: str,
    device_id: str,
    event_ids: Collection[str],
    unconcerned: Collection[str],
    now_ms: int,
    changes: Changes,
) -> None:
    """A device has these events. `unconcerned` are hidden pushkeys of pushers that do not wait for this device."""
    for event_id in event_ids:
        # One transaction: a push that comes at this moment is found below, or finds what is remembered.
        _remember(db, user_id, event_id, Why.ACKNOWLEDGED, device_id, "", now_ms)
        rows = db.execute(
            "SELECT position, hidden_pushkey FROM pushes WHERE event_id = ? AND user_id = ? AND outcome IS NULL",
            (event_id, user_id),
        ).fetchall()
        for position, hidden_pushkey in rows:
            if hidden_pushkey not in unconcerned:
                settle(db, "position = ?", (position,), Why.ACKNOWLEDGED, changes)


def cancel_events(
    db: sqlite3.Connection,
    user_id: str | None,
    room_id: str,
    event_ids: Collection[str],
    why: str,
    now_ms: int,
    changes: Changes,
) -> None:
    """Takes back pushes of these events, only of that room. `user_id` None: for every user."""
    for event_id in event_ids:
        _remember(db, user_id or EVERYONE, event_id, why, "", room_id, now_ms)
        # coalesce: without a user the condition holds for everybody.
        condition = "event_id = ? AND room_id = ? AND user_id = coalesce(?, user_id)"
        settle(db, condition, (event_id, room_id, user_id), why, changes)


def cancel_read(
    db: sqlite3.Connection,
    user_id: str,
    room_id: str,
    thread_id: str | None,
    event_id: str,
    now_ms: int,
    changes: Changes,
) -> None:
    """The user read up to this event: what came before the event, in this room and thread, is read as well.

    Only the push of that very event tells what lies before it: there is no other order. Where that push never came,
    only the event itself is read. Test: test_a_receipt_of_an_event_nobody_was_told_of_takes_nothing_back.
    A threaded receipt takes back its own event, and those whose push tells the same thread; without content none does.
    Test: test_a_threaded_receipt_takes_back_what_is_known_to_be_of_its_thread.
    """
    _remember(db, user_id, event_id, _UP_TO, thread_id or "", room_id, now_ms)
    _settle_read(db, user_id, room_id, thread_id or "", event_id, changes)


def settle_late(db: sqlite3.Connection, push: Push, unconcerned_devices: Collection[str], changes: Changes) -> bool:
    """Gives a push its outcome if its event was settled before. Returns True if so."""
    if push.event_id is None:
        return False
    is_settled = False
    rows = db.execute(
        "SELECT user_id, why, detail, room_id FROM settled WHERE event_id = ? AND user_id IN (?, ?)",
        (push.event_id, push.user_id, EVERYONE),
    ).fetchall()
    this = ("hidden_pushkey = ? AND event_id = ?", (push.hidden_pushkey, push.event_id))
    for _, why, detail, room_id in rows:
        if why == Why.ACKNOWLEDGED:
            if detail in unconcerned_devices:
                continue
            settle(db, *this, why, changes)
        elif room_id != push.room_id:
            continue
        elif why == _UP_TO:
            _settle_read(db, push.user_id, room_id, detail, push.event_id, changes)
        else:
            settle(db, *this, why, changes)
        is_settled = True
    return is_settled


def cancel_room(db: sqlite3.Connection, user_id: str, room_id: str, why: str, changes: Changes) -> None:
    settle(db, "user_id = ? AND room_id = ? AND event_id IS NOT NULL", (user_id, room_id), why, changes)


def cancel_all(db: sqlite3.Connection, user_id: str, why: str, changes: Changes) -> None:
    """Takes back the user's pushes of events. Clearing pushes stay: what the phone shows has to go all the same."""
    settle(db, "user_id = ? AND event_id IS NOT NULL", (user_id,), why, changes)


def cancel_queue(db: sqlite3.Connection, hidden_pushkey: str, why: str, changes: Changes) -> None:
    """Takes back everything that waits for this pusher."""
    settle(db, "hidden_pushkey = ?", (hidden_pushkey,), why, changes)


def forget(db: sqlite3.Connection, hidden_pushkey: str, changes: Changes) -> None:
    """Forgets a pusher with all that was known of it."""
    # Settled before they are deleted, so that they are counted as removed.
    settle(db, "hidden_pushkey = ?", (hidden_pushkey,), Why.REMOVED, changes)
    db.execute("DELETE FROM pushes WHERE hidden_pushkey = ?", (hidden_pushkey,))
    db.execute("DELETE FROM phones WHERE hidden_pushkey = ?", (hidden_pushkey,))


def _settle_read(
    db: sqlite3.Connection, user_id: str, room_id: str, thread_id: str, event_id: str, changes: Changes
) -> None:
    settle(
        db,
        # '' is an unthreaded receipt, which is of all threads. The position of the read event's own push says what
        # came before it; where there is no such push, NULL compares with nothing.
        "user_id = ? AND room_id = ? AND event_id IS NOT NULL AND (? IN ('', thread_id) OR event_id = ?)"
        " AND position <= (SELECT read.position FROM pushes AS read"
        " WHERE read.hidden_pushkey = pushes.hidden_pushkey AND read.event_id = ? AND read.room_id = ?)",
        (user_id, room_id, thread_id, event_id, event_id, room_id),
        Why.READ,
        changes,
    )


def _remember(
    db: sqlite3.Connection, user_id: str, event_id: str, why: str, detail: str, room_id: str, now_ms: int
) -> None:
    db.execute(
        "INSERT OR REPLACE INTO settled (event_id, user_id, why, detail, room_id, settled_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (event_id, user_id, why, detail, room_id, now_ms),
    )
