"""The queue of pushes in SQL: a push comes in, the next goes out, and its outcome is kept.

Plain functions over the connection, each to be run as (part of) one transaction. A push without `outcome` waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from heliograph.relay.model.hold import (
    ASIDE_AFTER,
    LAST_DELAY_MS,
    LONGEST_HOLD_MS,
    REMEMBERED_MS,
    SOMETHING,
    clears,
    is_expired,
    retry_delay_ms,
    wait_ms,
)
from heliograph.relay.model.outcome import Deferred, Delivered, Outcome
from heliograph.relay.model.pushes import MOST_KEPT, SENT, Attempt, Changes, Push, WaitingCount, Why

_LOSSES = frozenset({Why.EXPIRED, Why.OVERFLOW})
MOST_FORGOTTEN = 100
"""Rows of each table that are forgotten at a time, since everything else waits for it."""
_WAITING = (
    "SELECT position, event_id, unread, received_ms, due_ms, is_brief, payload FROM pushes"
    " WHERE hidden_pushkey = ? AND outcome IS NULL"
)
# Two statements, each by an index of its own: an ORDER BY over both would sort all that waits at every push.
_FIRST = f"{_WAITING} AND refusals < {ASIDE_AFTER} ORDER BY position LIMIT 1"
_DUE_MS = 4
_ASIDE = f"{_WAITING} AND refusals >= {ASIDE_AFTER} ORDER BY due_ms, position LIMIT 1"


def settle(db: sqlite3.Connection, condition: str, parameters: Sequence[object], why: str, changes: Changes) -> None:
    """Gives an outcome to the waiting pushes for which the SQL condition holds."""
    # A settled push keeps its row only, to know a repetition by: the payload may hold what people wrote.
    rows = db.execute(
        f"UPDATE pushes SET outcome = ?, payload = NULL WHERE outcome IS NULL AND {condition} RETURNING hidden_pushkey",  # noqa: S608
        (why, *parameters),
    ).fetchall()
    changes.outcomes[why] += len(rows)
    changes.queues.update(key for (key,) in rows)
    if why in _LOSSES:
        changes.lost.update((key, Why(why)) for (key,) in rows)


def insert(db: sqlite3.Connection, push: Push, changes: Changes) -> bool:
    """Whether the push is new. A clearing push takes back what it clears, and the clearing push that waits still.

    Unread 0 takes back everything of the user, since the count is the user's; any other count takes no event back.
    Tests: test_unread_zero_takes_everything_back_and_is_dropped_where_nothing_went_out,
    test_unread_above_zero_takes_no_event_back.
    """
    db.execute("INSERT OR IGNORE INTO phones (hidden_pushkey) VALUES (?)", (push.hidden_pushkey,))
    if push.event_id is None and push.unread == 0:
        # Clearing pushes stay: what the phone shows has to go.
        settle(db, "user_id = ? AND event_id IS NOT NULL", (push.user_id,), Why.UNREAD_ZERO, changes)
    if push.event_id is None:
        settle(db, "hidden_pushkey = ? AND event_id IS NULL", (push.hidden_pushkey,), Why.SUPERSEDED, changes)
    # The unique index over pusher and event makes a repeated push no row.
    inserted = db.execute(
        "INSERT OR IGNORE INTO pushes (hidden_pushkey, user_id, event_id, room_id, thread_id, unread, received_ms,"
        " due_ms, size, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            push.hidden_pushkey,
            push.user_id,
            push.event_id,
            push.room_id,
            push.thread_id,
            push.unread,
            push.received_ms,
            push.due_ms,
            len(push.payload),
            push.payload,
        ),
    ).rowcount
    changes.queues.add(push.hidden_pushkey)
    if inserted:
        _forget_beyond(db, push.hidden_pushkey)
    return bool(inserted)


def _forget_beyond(db: sqlite3.Connection, hidden_pushkey: str) -> None:
    """Forgets the oldest pushes with an outcome of a pusher that has too many: its homeserver repeats only the last."""
    (kept,) = db.execute("SELECT kept FROM phones WHERE hidden_pushkey = ?", (hidden_pushkey,)).fetchone()
    if kept > MOST_KEPT:
        # A tenth at once, so that not each further push has to look for the oldest.
        db.execute(
            "DELETE FROM pushes WHERE position IN (SELECT position FROM pushes"
            " WHERE hidden_pushkey = ? AND outcome IS NOT NULL ORDER BY position LIMIT ?)",
            (hidden_pushkey, MOST_KEPT // 10),
        )


def known(db: sqlite3.Connection, hidden_pushkey: str, event_ids: Sequence[str]) -> set[str]:
    """Those of the events of which a push came for this pusher."""
    marks = ", ".join("?" * len(event_ids))
    rows = db.execute(
        f"SELECT event_id FROM pushes WHERE hidden_pushkey = ? AND event_id IN ({marks})",  # noqa: S608
        (hidden_pushkey, *event_ids),
    )
    return {event_id for (event_id,) in rows}


def begin(db: sqlite3.Connection, hidden_pushkey: str, now_ms: int, changes: Changes) -> Attempt | int | None:
    """The push to send now, noted as tried; or when (ms) there will be one; or None: nothing waits."""
    phone = db.execute("SELECT shown, retry_ms FROM phones WHERE hidden_pushkey = ?", (hidden_pushkey,)).fetchone()
    if phone is None:
        return None
    shown, retry_ms = phone
    # Pushes that are no longer needed are settled on the way to the first one that is.
    while head := _head(db, hidden_pushkey, now_ms):
        position, event_id, unread, received_ms, due_ms, is_brief, payload = head
        if is_expired(now_ms, received_ms):
            settle(db, "position = ?", (position,), Why.EXPIRED, changes)
        elif event_id is None and not clears(shown, unread):
            settle(db, "position = ?", (position,), Why.NOTHING_TO_CLEAR, changes)
        elif wait := wait_ms(now_ms, due_ms, retry_ms):
            return int(now_ms + wait)
        else:
            db.execute("UPDATE pushes SET tries = tries + 1 WHERE position = ?", (position,))
            # Before it is sent: after a crash nobody knows whether the phone shows it, so it must be cleared.
            db.execute("UPDATE phones SET shown = ? WHERE hidden_pushkey = ?", (SOMETHING, hidden_pushkey))
            return Attempt(position, payload, bool(is_brief), event_id, unread)
    return None


def _head(db: sqlite3.Connection, hidden_pushkey: str, now_ms: int) -> tuple[Any, ...] | None:
    """The push whose turn it is: one that stepped aside once its own time has come, then the oldest of the others."""
    aside: tuple[Any, ...] | None = db.execute(_ASIDE, (hidden_pushkey,)).fetchone()
    if aside is not None and aside[_DUE_MS] <= now_ms:
        return aside
    return db.execute(_FIRST, (hidden_pushkey,)).fetchone() or aside


def finish(
    db: sqlite3.Connection, hidden_pushkey: str, attempt: Attempt, outcome: Outcome, now_ms: int, changes: Changes
) -> int | None:
    """Notes what became of an attempt. Returns when (ms) the queue is to be looked at again; None: nothing waits.

    A push that was cancelled meanwhile keeps that outcome.
    """
    this = ("position = ?", (attempt.position,))
    if isinstance(outcome, Delivered):
        is_rejected = outcome.is_rejected
        is_known = db.execute(
            "UPDATE phones SET failures = 0, retry_ms = 0, is_rejected = ?, shown = ? WHERE hidden_pushkey = ?",
            (is_rejected, SOMETHING if attempt.unread is None else attempt.unread, hidden_pushkey),
        ).rowcount
        # Without a row in `phones` the pusher was forgotten while its push was under way.
        if is_rejected and is_known:
            changes.rejected.add(hidden_pushkey)
            settle(db, "hidden_pushkey = ?", (hidden_pushkey,), Why.REJECTED, changes)
        else:
            settle(db, *this, SENT, changes)
    elif isinstance(outcome, Deferred):
        _back_off(db, hidden_pushkey, now_ms, outcome.after_s)
    elif outcome.is_too_large and attempt.event_id is not None and not attempt.is_brief:
        db.execute("UPDATE pushes SET is_brief = 1 WHERE position = ?", (attempt.position,))
    else:
        _refuse(db, hidden_pushkey, attempt, now_ms, outcome.after_s)
    return next_due(db, hidden_pushkey, now_ms)


def _back_off(db: sqlite3.Connection, hidden_pushkey: str, now_ms: int, asked_s: float | None) -> None:
    # Without a row the pusher was forgotten while its push was under way.
    (failures,) = db.execute(
        "UPDATE phones SET failures = failures + 1 WHERE hidden_pushkey = ? RETURNING failures", (hidden_pushkey,)
    ).fetchone() or (1,)
    retry_ms = now_ms + retry_delay_ms(failures, asked_s)
    db.execute("UPDATE phones SET retry_ms = ? WHERE hidden_pushkey = ?", (retry_ms, hidden_pushkey))


def _refuse(db: sqlite3.Connection, hidden_pushkey: str, attempt: Attempt, now_ms: int, asked_s: float | None) -> None:
    _back_off(db, hidden_pushkey, now_ms, asked_s)
    # Without a row the push was deleted while it was under way.
    (refusals,) = db.execute(
        "UPDATE pushes SET refusals = refusals + 1 WHERE position = ? RETURNING refusals", (attempt.position,)
    ).fetchone() or (0,)
    if refusals >= ASIDE_AFTER:
        due_ms = now_ms + retry_delay_ms(refusals, asked_s)
        db.execute("UPDATE pushes SET due_ms = ? WHERE position = ?", (due_ms, attempt.position))
        # The next one shows whether the push is at fault, or the gateway, whose failures are still counted.
        db.execute("UPDATE phones SET retry_ms = 0 WHERE hidden_pushkey = ?", (hidden_pushkey,))


def next_due(db: sqlite3.Connection, hidden_pushkey: str, now_ms: int) -> int | None:
    """When (ms) a queue wants to be looked at; None: the queue is empty."""
    head = _head(db, hidden_pushkey, now_ms)
    phone = db.execute("SELECT retry_ms FROM phones WHERE hidden_pushkey = ?", (hidden_pushkey,)).fetchone()
    return None if head is None or phone is None else now_ms + wait_ms(now_ms, head[_DUE_MS], phone[0])


def note_due(db: sqlite3.Connection, now_ms: int, changes: Changes) -> None:
    """Notes when each changed queue wants to be looked at; those with nothing in them do not."""
    for key in changes.queues:
        due_ms = next_due(db, key, now_ms)
        if due_ms is not None:
            changes.due[key] = due_ms


def has_waiting(db: sqlite3.Connection, hidden_pushkey: str) -> bool:
    """Whether a push waits in this queue."""
    return _head(db, hidden_pushkey, 0) is not None


def waiting_queues(db: sqlite3.Connection, now_ms: int) -> dict[str, int]:
    """All queues in which something waits, and when each wants to be looked at.

    A clock that was set back since must not delay anything: times are brought to what they can be at most by now.
    """
    db.execute(
        "UPDATE pushes SET received_ms = min(received_ms, :now),"
        " due_ms = min(due_ms, :now + iif(refusals >= :aside, :last, :hold))"
        " WHERE outcome IS NULL AND (received_ms > :now OR due_ms > :now + :hold)",
        {"now": now_ms, "hold": LONGEST_HOLD_MS, "last": LAST_DELAY_MS, "aside": ASIDE_AFTER},
    )
    latest_ms = now_ms + LAST_DELAY_MS
    db.execute("UPDATE phones SET retry_ms = ? WHERE retry_ms > ?", (latest_ms, latest_ms))
    keys = [key for (key,) in db.execute("SELECT DISTINCT hidden_pushkey FROM pushes WHERE outcome IS NULL")]
    return {key: due for key in keys if (due := next_due(db, key, now_ms)) is not None}


def rejected(db: sqlite3.Connection) -> set[str]:
    """The hidden pushkeys that their gateways rejected."""
    return {key for (key,) in db.execute("SELECT hidden_pushkey FROM phones WHERE is_rejected")}


def count(db: sqlite3.Connection, now_ms: int) -> WaitingCount:
    """How many pushes wait now."""
    # coalesce: the sum of no rows is NULL.
    waiting, held = db.execute(
        "SELECT count(*), coalesce(sum(due_ms > ? AND refusals < ?), 0) FROM pushes WHERE outcome IS NULL",
        (now_ms, ASIDE_AFTER),
    ).fetchone()
    (failing,) = db.execute("SELECT count(*) FROM phones WHERE retry_ms > 0").fetchone()
    return WaitingCount(waiting, held, failing)


def prune(db: sqlite3.Connection, now_ms: int) -> bool:
    """Forgets some pushes and events that are settled for two days. Returns True if there are more of them.

    A push that waits stays, however old: it expires when its queue is looked at, and is counted then.
    """
    oldest_ms = now_ms - REMEMBERED_MS
    # A million rows in one transaction held up every push for seconds.
    pushes = db.execute(
        "DELETE FROM pushes WHERE position IN"
        " (SELECT position FROM pushes WHERE received_ms < ? AND outcome IS NOT NULL LIMIT ?)",
        (oldest_ms, MOST_FORGOTTEN),
    ).rowcount
    settled = db.execute(
        "DELETE FROM settled WHERE (event_id, user_id, why, detail, room_id) IN"
        " (SELECT event_id, user_id, why, detail, room_id FROM settled WHERE settled_ms < ? LIMIT ?)",
        (oldest_ms, MOST_FORGOTTEN),
    ).rowcount
    return MOST_FORGOTTEN in (pushes, settled)
