"""Stores encrypted events until their room keys come. At most MOST are kept; the oldest give way."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import Event
from heliograph.core.ids import EventKey, RoomId
from heliograph.core.record import LockedEvent
from heliograph.store.columns import among, fit, from_json, to_integer, to_json, to_text

log = logging.getLogger(__name__)

MOST = 2_000
_KEPT = ("event_id", "room_id", "type", "sender", "origin_server_ts", "content")
_COLUMNS = "locked.event_id, locked.room_id, session_id, event, position"
_JOINED = "locked JOIN judged USING (event_id)"


def insert_locked(db: sqlite3.Connection, locked: Iterable[LockedEvent], now_ms: int) -> None:
    """Keeps these events, each without what the homeserver added (`unsigned`): that is old by the time a key comes."""
    rows = []
    for each in locked:
        try:
            text = to_json({name: each.event.raw.get(name) for name in _KEPT})
        except ValueError as error:
            log.warning("%s cannot be kept until its key comes: %s", each.event_id, error)
            continue
        ids = (to_text(each.event_id), to_text(each.event.room_id), to_text(each.key.session_id))
        rows.append((*ids, text, to_integer(now_ms)))
    if rows:
        db.executemany(
            "INSERT OR IGNORE INTO locked (event_id, room_id, session_id, event, kept_ms) VALUES (?, ?, ?, ?, ?)", rows
        )
        db.execute(
            "DELETE FROM locked WHERE event_id IN"
            # LIMIT -1: SQLite takes an OFFSET only behind a LIMIT.
            " (SELECT event_id FROM locked ORDER BY kept_ms DESC LIMIT -1 OFFSET ?)",
            (MOST,),
        )


def delete_locked(db: sqlite3.Connection, event_ids: Iterable[str]) -> None:
    db.executemany("DELETE FROM locked WHERE event_id = ?", [(to_text(event_id),) for event_id in event_ids])


def read_all_locked(db: sqlite3.Connection) -> list[LockedEvent]:
    """All events that wait, in the order in which they came."""
    return _read(db.execute(f"SELECT {_COLUMNS} FROM {_JOINED}"))


def read_locked_by(db: sqlite3.Connection, keys: Collection[RoomKey]) -> list[LockedEvent]:
    """Events that wait for one of these keys, in the order in which they came."""
    # Sought by session id, which has an index, and then compared whole: a stranger can reuse another room's session id.
    found: list[LockedEvent] = []
    for condition, values in among("session_id", {key.session_id for key in keys}):
        found += _read(db.execute(f"SELECT {_COLUMNS} FROM {_JOINED} WHERE {condition}", values))
    wanted = frozenset(keys)
    return sorted((each for each in found if each.key in wanted), key=lambda each: each.position)


def read_locked_in(db: sqlite3.Connection, room_ids: Collection[RoomId]) -> list[LockedEvent]:
    """Events of these rooms that wait."""
    found: list[LockedEvent] = []
    for condition, values in among("locked.room_id", room_ids):
        found += _read(db.execute(f"SELECT {_COLUMNS} FROM {_JOINED} WHERE {condition}", values))
    return found


def read_locked_rooms(db: sqlite3.Connection) -> frozenset[RoomId]:
    """Rooms in which an event waits."""
    return frozenset(room_id for (room_id,) in db.execute("SELECT DISTINCT room_id FROM locked"))


def prune_locked(db: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """Forgets at most `limit` events that are older. Returns how many."""
    return db.execute(
        "DELETE FROM locked WHERE event_id IN (SELECT event_id FROM locked WHERE kept_ms < ? LIMIT ?)",
        (to_integer(before_ms), limit),
    ).rowcount


def _read(rows: Iterable[tuple[Any, ...]]) -> list[LockedEvent]:
    found = []
    for event_id, room_id, session_id, text, position in rows:
        try:
            json = from_json(text)
            fit((event_id, room_id, session_id), (str, str, str))
            event = _event(event_id, room_id, json)
        except (ValueError, KeyError, TypeError):
            log.warning("%s is kept in the ledger in a way that cannot be read", event_id)
            continue
        found.append(LockedEvent(event, RoomKey(room_id, session_id), position))
    return sorted(found, key=lambda each: each.position)


def event_fault(event_id: EventKey, room_id: RoomId, text: str) -> str | None:
    """Why the event of a row cannot be read; None: it can."""
    try:
        _event(event_id, room_id, from_json(text))
    except (ValueError, KeyError, TypeError) as error:
        return f"the event cannot be read ({type(error).__name__})"
    return None


def _event(event_id: EventKey, room_id: RoomId, json: Mapping[str, Any]) -> Event:
    fit((json["type"], json["sender"], json["origin_server_ts"], json["content"]), (str, str, int, dict))
    return Event(event_id, room_id, json["type"], json["sender"], json["origin_server_ts"], json["content"], json)
