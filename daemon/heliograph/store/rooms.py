"""Stores room facts as JSON, and the display names and avatars of members in a table of their own."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace

import msgspec

from heliograph.core.ids import RoomId, UserId
from heliograph.core.record import RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.store.columns import LARGEST, among, fit, from_json, to_integer, to_json, to_optional_text, to_text

log = logging.getLogger(__name__)

MOST_NAMES = 20_000
"""Display names that pruning leaves at most, besides those that name rooms."""
MOST_ROOMS = 20_000
_MANY = 200
_APART = frozenset({"room_id", "names", "avatars"})
"""The fields of RoomFacts that have columns of their own."""
_STORED = tuple(each.name for each in fields(RoomFacts) if each.name not in _APART)
"""The others, which are kept as JSON under their names."""


def read_rooms(
    db: sqlite3.Connection, room_ids: Collection[RoomId], names_of: Collection[UserId]
) -> dict[RoomId, RoomRecord]:
    """The rooms of these that are known, with the names of `names_of`, of the heroes and of the inviter."""
    records: dict[RoomId, RoomRecord] = {}
    asked = frozenset(to_text(user_id) for user_id in names_of)
    for condition, values in among("room_id", room_ids):
        rows = db.execute(f"SELECT room_id, facts, invite_serial FROM rooms WHERE {condition}", values)
        for room_id, text, invite_serial in rows.fetchall():
            fit((room_id, invite_serial), (str, int))
            facts = _decode(room_id, text)
            members = _members(db, room_id, asked | _naming(facts))
            records[room_id] = RoomRecord(_with_members(facts, members), invite_serial)
    return records


def read_all_rooms(db: sqlite3.Connection) -> list[RoomRecord]:
    """All known rooms, but no more than MOST_ROOMS, each with the names that its title may need."""
    room_ids = [room_id for (room_id,) in db.execute("SELECT room_id FROM rooms LIMIT ?", (MOST_ROOMS,))]
    return list(read_rooms(db, room_ids, ()).values())


def write_rooms(db: sqlite3.Connection, records: Iterable[RoomRecord], now_ms: int) -> None:
    """Replaces the records of these rooms. Names are added to the known ones, unless the record is blank: then the user
    has left the room, and its names are forgotten."""
    for record in records:
        facts = record.facts
        room_id = to_text(facts.room_id)
        db.execute(
            "INSERT OR REPLACE INTO rooms (room_id, facts, invite_serial) VALUES (?, ?, ?)",
            (room_id, _encode(facts), record.invite_serial),
        )
        if facts == RoomFacts(facts.room_id):
            db.execute("DELETE FROM members WHERE room_id = ?", (room_id,))
        db.executemany(
            "INSERT OR REPLACE INTO members (room_id, user_id, display_name, seen_ms, avatar_url)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                (room_id, to_text(user), to_text(name), to_integer(now_ms), to_optional_text(facts.avatars.get(user)))
                for user, name in facts.names.items()
            ],
        )


def prune_names(db: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """Forgets at most `limit` names that are older, and if there are none, names beyond MOST_NAMES; never one by which
    a room is named. Returns how many."""
    doomed = _oldest_names(db, before_ms, limit)
    if not doomed:
        (count,) = db.execute("SELECT count(*) FROM members").fetchone()
        doomed = _oldest_names(db, LARGEST, min(limit, max(0, count - MOST_NAMES)))
    db.executemany("DELETE FROM members WHERE room_id = ? AND user_id = ?", doomed)
    return len(doomed)


def prune_left(db: sqlite3.Connection, limit: int) -> int:
    """Forgets at most `limit` rooms whose record is blank (they were left, or the invite was declined) and of which no
    event is known. Returns how many."""
    # Fact by fact, and not as one text: the record may be of a version that knew fewer facts.
    return db.execute(
        "DELETE FROM rooms WHERE room_id IN (SELECT room_id FROM rooms"
        " WHERE CASE WHEN json_valid(facts) THEN json_type(facts) END = 'object'"
        " AND NOT EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(facts) THEN facts END) AS fact"
        " LEFT JOIN json_each(:blank) AS blank ON blank.key = fact.key"
        " WHERE blank.key IS NULL OR (fact.type, fact.value) IS NOT (blank.type, blank.value))"
        " AND room_id NOT IN (SELECT room_id FROM judged WHERE room_id IS NOT NULL) LIMIT :limit)",
        {"blank": _encode(RoomFacts(RoomId(""))), "limit": limit},
    ).rowcount


def _oldest_names(db: sqlite3.Connection, before_ms: int, limit: int) -> list[tuple[str, str]]:
    # Heroes and inviter stay: they name their room, and a later sync need not bring them again. json_valid keeps one
    # room with broken facts from failing the whole statement.
    return db.execute(
        "SELECT members.room_id, user_id FROM members LEFT JOIN rooms USING (room_id) WHERE seen_ms < ?"
        " AND NOT EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(rooms.facts) THEN rooms.facts END, '$.heroes')"
        " AS hero WHERE hero.value = user_id)"
        " AND user_id IS NOT CASE WHEN json_valid(rooms.facts) THEN json_extract(rooms.facts, '$.inviter') END"
        " ORDER BY seen_ms LIMIT ?",
        (before_ms, limit),
    ).fetchall()


def _members(db: sqlite3.Connection, room_id: RoomId, wanted: frozenset[str]) -> list[tuple[str, str, str | None]]:
    """User ids, display names and avatars."""
    if len(wanted) > _MANY:
        # Catching up asks for every sender in every room: reading a room's names once is cheaper than seeking each.
        rows = db.execute("SELECT user_id, display_name, avatar_url FROM members WHERE room_id = ?", (room_id,))
        return _sound([row for row in rows if row[0] in wanted])
    found: list[tuple[str, str, str | None]] = []
    for condition, values in among("user_id", wanted):
        found += db.execute(
            f"SELECT user_id, display_name, avatar_url FROM members WHERE room_id = ? AND {condition}",
            (room_id, *values),
        )
    return _sound(found)


def _sound(members: list[tuple[str, str, str | None]]) -> list[tuple[str, str, str | None]]:
    for row in members:
        fit(row, (str, str, str | None))
    return members


def _naming(facts: RoomFacts) -> frozenset[str]:
    """The members whose names the room's title may need, and the bots among them."""
    named = facts.service_members.union(facts.heroes)
    return named | {facts.inviter} if facts.inviter else named


def _encode(facts: RoomFacts) -> str:
    content = {name: getattr(facts, name) for name in _STORED}
    try:
        return to_json(content)
    except ValueError as error:
        log.warning("The power levels of %s cannot be kept and count as unknown: %s", facts.room_id, error)
        return to_json({**content, "power_levels": None})


def facts_fault(text: object) -> str | None:
    """Why these facts cannot be read; None: they can."""
    try:
        _parse(RoomId(""), text)
    except ValueError as error:
        return f"its facts cannot be read: {error}"
    return None


def _decode(room_id: RoomId, text: object) -> RoomFacts:
    try:
        return _parse(room_id, text)
    except ValueError:
        log.warning("The facts of %s in the ledger cannot be read and count as unknown", room_id)
        return RoomFacts(room_id)


def _parse(room_id: RoomId, text: object) -> RoomFacts:
    content = from_json(text) if isinstance(text, str) else None
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    known = {name: content[name] for name in _STORED if name in content}
    return msgspec.convert({**known, "room_id": room_id}, RoomFacts)


def _with_members(facts: RoomFacts, members: Sequence[tuple[str, str, str | None]]) -> RoomFacts:
    return replace(
        facts,
        names={user_id: name for user_id, name, _ in members},
        avatars={user_id: avatar for user_id, _, avatar in members if avatar},
    )
