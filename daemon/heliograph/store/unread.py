"""Reads the inbox and the history for people: what is unread, and what rang before. No loop asks this."""

from __future__ import annotations

import sqlite3

from heliograph.core.delivery import State
from heliograph.core.notification import Category
from heliograph.core.record import UNLISTED
from heliograph.core.summary.unread import Rung, UnreadMessage, UnreadRoom
from heliograph.store.columns import fit
from heliograph.store.deliveries import OPEN
from heliograph.store.set_aside import forget_set_aside

# Without a room, a delivery is a notice of our own about messages from before the first start, and no message.
_UNREAD = f"{OPEN} AND room_id != '' AND text IS NOT NULL"
# An invite does not tell when it was sent: its stripped state has no time, so that of judging stands for it.
_SENT = "coalesce(nullif(origin_server_ts, 0), judged_ms)"


def read_unread(db: sqlite3.Connection, messages: int) -> tuple[UnreadRoom, ...]:
    """Rooms with unread messages, the one with the newest first, each with up to `messages` of its newest."""
    # The columns beside max() are those of the row that has it (SQLite, "bare columns in an aggregate query").
    rows = db.execute(
        "WITH rooms AS (SELECT max(position) AS position, room_id, room_title, sender, sender_name, is_direct,"
        f" count(*) AS unread, sum(is_highlight) AS highlights FROM deliveries WHERE {_UNREAD} GROUP BY room_id)"
        f" SELECT rooms.room_id, room_title, rooms.sender, sender_name, is_direct, unread, highlights, {_SENT},"
        " judged_ms FROM rooms JOIN judged USING (position) ORDER BY position DESC"
    ).fetchall()
    for row in rows:
        fit(row, (str, str | None, str, str | None, int | None, int, int | None, int, int))
    newest = _read_messages(db, messages) if messages > 0 else {}
    return tuple(
        UnreadRoom(
            room_id=room_id,
            title=(sender_name if is_direct else room_title) or room_id,
            unread=unread,
            highlights=highlights or 0,
            latest_ms=sent_ms,
            arrived_ms=judged_ms,
            is_direct=bool(is_direct),
            sender=sender,
            messages=tuple(newest.get(room_id, ())),
        )
        for room_id, room_title, sender, sender_name, is_direct, unread, highlights, sent_ms, judged_ms in rows
    )


def _read_messages(db: sqlite3.Connection, limit: int) -> dict[str, list[UnreadMessage]]:
    found: dict[str, list[UnreadMessage]] = {}
    # One query for all rooms: the window function numbers the messages of each room from the newest on.
    rows = db.execute(
        "WITH placed AS (SELECT position, event_id, room_id, sender, sender_name, text, category, state, is_highlight,"
        f" row_number() OVER (PARTITION BY room_id ORDER BY position DESC) AS place FROM deliveries WHERE {_UNREAD})"
        f" SELECT placed.room_id, placed.event_id, placed.sender, sender_name, text, {_SENT}, category, state,"
        " is_highlight FROM placed JOIN judged USING (position) WHERE placed.place <= ? ORDER BY position",
        (limit,),
    )
    for row in rows:
        fit(row, (str, str, str, str | None, str, int, str, str, int | None))
        room_id, event_id, sender, sender_name, text, sent_ms, category, state, is_highlight = row
        found.setdefault(room_id, []).append(
            UnreadMessage(
                event_id=event_id,
                sender=sender,
                sender_name=sender_name,
                text=text,
                sent_ms=sent_ms,
                category=Category(category),
                state=State(state),
                is_highlight=bool(is_highlight),
            )
        )
    return found


def read_history(db: sqlite3.Connection, limit: int) -> tuple[Rung, ...]:
    """The last `limit` messages that rang, newest first, in whatever state they are."""
    # The title of a settled delivery is erased, so the room's present name stands in. Facts of which nothing can be
    # read must not hide the whole history (json_valid).
    rows = db.execute(
        "SELECT deliveries.room_id, coalesce(room_title, CASE WHEN json_valid(facts) THEN json_extract(facts, '$.name')"
        " END, ''), deliveries.sender,"
        f" {_SENT}, state, why, coalesce(rule, ''), judged_ms FROM deliveries JOIN judged USING (position)"
        " LEFT JOIN rooms ON rooms.room_id = deliveries.room_id"
        " WHERE deliveries.room_id != '' ORDER BY position DESC LIMIT ?",
        (limit,),
    )
    found = rows.fetchall()
    for row in found:
        fit(row, (str, object, str, int, str, str, str, int))
    return tuple(
        Rung(room_id, str(title) or room_id, sender, sent_ms, State(state), why, rule, arrived_ms=judged_ms)
        for room_id, title, sender, sent_ms, state, why, rule, judged_ms in found
    )


def erase_history(db: sqlite3.Connection, *, with_unread: bool) -> int:
    """Forgets all deliveries that are read; `with_unread`: also the unread ones that neither wait nor are on screen.
    Event ids stay, or the same events would ring again. Returns the number of deliveries that it forgot.
    """
    kept = "state IN ('pending', 'shown')" if with_unread else OPEN
    forget_set_aside(db)
    erased = db.execute(f"DELETE FROM deliveries WHERE NOT ({kept})").rowcount
    # UNLISTED stays as a reason: by it an event that the server lists late still rings (`forget_unlisted`).
    db.execute(
        "UPDATE judged SET sender = NULL, rule = NULL, thread_root = NULL, origin_server_ts = 0,"
        " reason = CASE WHEN reason = ? THEN reason ELSE '' END"
        " WHERE position NOT IN (SELECT position FROM deliveries)",
        (UNLISTED,),
    )
    return erased
