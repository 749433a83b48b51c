"""Stores the judgement of each event, once for each event id, in the order in which the homeserver told of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence

from heliograph.core.ids import EventKey, RoomId, own_key
from heliograph.core.reading import MAIN
from heliograph.core.record import GAP, UNLISTED, Decision, Judged
from heliograph.store.columns import among, fit, to_integer, to_optional_text, to_text

_KINDS = (str, str | None, str, str, str | None, str | None, str | None, int, str, int)


def last_position(db: sqlite3.Connection) -> int:
    """The greatest position that was ever given; each later one is greater."""
    # Not max(position): what was pruned has had a greater one, and AUTOINCREMENT remembers that in this table.
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'judged'").fetchone()
    return int(row[0]) if row else 0


def forget_unlisted(db: sqlite3.Connection, judged: Iterable[Judged]) -> None:
    """Forgets earlier judgements of events that ring now, and were silent only because the server's list did not have
    them yet. `insert_judged` then adds them anew, with a new position."""
    # One that has a delivery was rung for already, and keeps its judgement.
    db.executemany(
        "DELETE FROM judged WHERE event_id = ? AND decision = ? AND reason = ?"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = judged.event_id)",
        [
            (to_text(each.event_id), Decision.SILENT.value, UNLISTED)
            for each in judged
            if each.decision is Decision.RING
        ],
    )


def insert_judged(db: sqlite3.Connection, judged: Iterable[Judged], now_ms: int) -> None:
    """Adds the judgements of events that are unknown. An event that comes again keeps its first judgement: the same
    sync may come twice after a kill, and must not ring twice."""
    db.executemany(
        "INSERT OR IGNORE INTO judged"
        " (event_id, room_id, decision, reason, rule, sender, thread_root, origin_server_ts, judged_ms, encryption)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                to_text(each.event_id),
                to_optional_text(each.room_id),
                each.decision.value,
                to_text(each.reason),
                to_optional_text(each.rule),
                to_optional_text(each.sender),
                to_optional_text(each.thread_root),
                to_integer(each.origin_server_ts),
                to_integer(now_ms),
                to_text(each.encryption),
            )
            for each in judged
        ],
    )


def replace_judged(db: sqlite3.Connection, judged: Iterable[Judged], now_ms: int) -> None:
    """Replaces earlier judgements. An event that rings now and has no delivery yet gets a new position, the last one,
    since `insert_deliveries` takes it for new by that."""
    for each in judged:
        event_id = to_text(each.event_id)
        # Deleted and not updated: only a new row gets a new position.
        if each.decision is Decision.RING:
            db.execute(
                "DELETE FROM judged WHERE event_id = ?"
                " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = judged.event_id)",
                (event_id,),
            )
        db.execute(
            "UPDATE judged SET decision = ?, reason = ?, rule = ?, encryption = ? WHERE event_id = ?",
            (
                each.decision.value,
                to_text(each.reason),
                to_optional_text(each.rule),
                to_text(each.encryption),
                event_id,
            ),
        )
    insert_judged(db, judged, now_ms)


def read_positions(db: sqlite3.Connection, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
    """The positions of those of these events that were judged."""
    positions: dict[EventKey, int] = {}
    for condition, values in among("event_id", event_ids):
        positions.update(db.execute(f"SELECT event_id, position FROM judged WHERE {condition}", values))
    return positions


def read_places(db: sqlite3.Connection, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
    """The places of those of these events that a timeline has had."""
    places: dict[EventKey, int] = {}
    for condition, values in among("event_id", event_ids):
        rows = db.execute(f"SELECT event_id, place FROM judged WHERE {condition} AND place IS NOT NULL", values)
        places.update(rows)
    return places


def read_threads(db: sqlite3.Connection, event_ids: Collection[EventKey]) -> dict[EventKey, str]:
    """The ids of the threads (MAIN: of none) of those of these events that were judged and not erased since."""
    threads: dict[EventKey, str] = {}
    for condition, values in among("event_id", event_ids):
        # Erasing takes the thread away with the sender (`unread.erase_history`).
        rows = db.execute(
            f"SELECT event_id, coalesce(thread_root, ?) FROM judged WHERE {condition} AND sender IS NOT NULL",
            (MAIN, *values),
        )
        threads.update(rows)
    return threads


def write_places(db: sqlite3.Connection, timelines: Iterable[Sequence[EventKey]]) -> None:
    """Gives places to the events of these timelines, each of one room and in order.

    Only behind the last event that has a place already: what stands above that one came in a timeline without its
    neighbours, and no number is left between theirs.
    """
    for timeline in timelines:
        known = read_places(db, timeline)
        new: list[EventKey] = []
        for event_id in reversed(timeline):
            if event_id in known:
                break
            new.append(event_id)
        (last,) = db.execute("SELECT last_place FROM account").fetchone()
        restore_places(db, {event_id: last + place for place, event_id in enumerate(reversed(new), 1)})
        db.execute("UPDATE account SET last_place = ?", (last + len(new),))


def restore_places(db: sqlite3.Connection, places: Mapping[EventKey, int]) -> None:
    """Writes these places, also of events whose judgement was replaced since they were read."""
    rows = [(place, to_text(event_id)) for event_id, place in places.items()]
    db.executemany("UPDATE judged SET place = ? WHERE event_id = ?", rows)


def read_judged(db: sqlite3.Connection, event_id: EventKey) -> tuple[Judged, int] | None:
    """The judgement, and when it was made in ms since 1970; None: the event is unknown."""
    row = db.execute(
        "SELECT event_id, room_id, decision, reason, rule, sender, thread_root, origin_server_ts, encryption, judged_ms"
        " FROM judged WHERE event_id = ?",
        (to_text(event_id),),
    ).fetchone()
    if row is None:
        return None
    fit(row, _KINDS)
    event_id, room_id, decision, *rest, judged_ms = row
    return Judged(event_id, room_id, Decision(decision), *rest), judged_ms


def read_gap(db: sqlite3.Connection, room_id: RoomId) -> str:
    """Why the room's newest gap that stays open does so, in words; empty: it has none."""
    first, end = own_key(GAP, ""), own_key(GAP, "\U0010ffff")
    row = db.execute(
        "SELECT reason FROM judged WHERE event_id > ? AND event_id < ? AND room_id = ? ORDER BY position DESC LIMIT 1",
        (first, end, to_text(room_id)),
    ).fetchone()
    return "" if row is None else str(row[0])


def prune_judged(db: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """Forgets at most `limit` judgements that are older, with their deliveries, unless these wait or are on screen.
    Returns how many.

    A delivery that is SHOWN by no known popup is on no screen any more, so age forgets it as well.
    """
    # Chosen once, since both tables have to lose the same rows.
    doomed = db.execute(
        "SELECT position FROM judged WHERE judged_ms < ? AND NOT EXISTS ("
        " SELECT 1 FROM deliveries WHERE deliveries.position = judged.position"
        " AND (state = 'pending' OR state = 'shown' AND popup_key IS NOT NULL))"
        " LIMIT ?",
        (to_integer(before_ms), limit),
    ).fetchall()
    db.executemany("DELETE FROM deliveries WHERE position = ?", doomed)
    db.executemany("DELETE FROM judged WHERE position = ?", doomed)
    return len(doomed)
