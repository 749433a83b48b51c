"""Stores deliveries and moves them from state to state. Which move may follow which, `core.delivery` alone says."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

from heliograph.core.delivery import OPEN_STATES, Move, State, after
from heliograph.core.ids import EventKey, RoomId, UserId, event_key
from heliograph.core.notification import Category
from heliograph.core.popups.quiet import Through
from heliograph.core.popups.text import LINES
from heliograph.core.record import Change, Content, Delivery, Rewrite, Withdrawal
from heliograph.ports.ledger import Settlement
from heliograph.store.columns import among, fit, to_integer, to_optional_text, to_text
from heliograph.store.popups import mark_stale

_COLUMNS = (
    "event_id, room_id, sender, thread_root, edits, state, position, attempts, due_ms, popup_key, why,"
    " room_title, sender_name, text, category, is_direct, is_highlight, sound, markup, avatar, thread,"
    " rings_until_ms, can_decline, call_id"
)
_KINDS = (
    *(str, str, str, str | None, str | None, str, int, int, int, str | None, str),
    *(str | None, str | None, str | None, str | None, int | None, int | None, str | None, str | None, str | None),
    *(str | None, int | None, int | None, str | None),
)
OPEN = "state IN ('pending', 'shown', 'dismissed', 'lost')"
"""The unread ones, `core.delivery.OPEN_STATES`. Written out, since SQLite takes an index with a WHERE (deliveries_open)
only for a query that repeats its condition literally."""
_NEVER_MS = 2**63 - 1
_MOST_CALLS = 20
_MOST_IDS = 400
"""Ids that pass in spite of quiet. Each is compared with two columns, and SQLite before 3.32 allows 999 parameters."""
_ERASED = (
    "popup_key = NULL, room_title = NULL, sender_name = NULL, text = NULL, category = NULL, is_direct = NULL,"
    " is_highlight = NULL, sound = NULL, markup = NULL, avatar = NULL, thread = NULL, rings_until_ms = NULL,"
    " can_decline = NULL, call_id = NULL"
)
"""Set when a delivery is settled: what the message said is kept for no longer than it is needed."""


def insert_deliveries(db: sqlite3.Connection, deliveries: Iterable[Delivery], after_position: int) -> int:
    """Adds those deliveries whose events were judged after that position, as PENDING. Returns how many were added.

    An event with an older position was judged by an earlier sync, which must not ring a second time.
    """
    # The position comes from `judged` and not from the caller: only the database knows which one it has just given.
    rows = [(*_values(each), to_text(each.event_id), after_position) for each in deliveries]
    return db.executemany(
        "INSERT OR IGNORE INTO deliveries (position, event_id, state, room_id, sender, thread_root, edits, due_ms,"
        " room_title, sender_name, text, category, is_direct, is_highlight, sound, markup, avatar, thread,"
        " rings_until_ms, can_decline, call_id)"
        " SELECT position, event_id, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM judged"
        " WHERE event_id = ? AND position > ?",
        rows,
    ).rowcount


def apply_changes(db: sqlite3.Connection, changes: Iterable[Change]) -> set[str]:
    """Withdraws, edits and rewrites open deliveries, in the order of `changes`. Returns the ids of those that changed
    and the keys of the popups that show them. A change that does not fit its delivery's state is passed over."""
    changed: set[str] = set()
    for change in changes:
        event_id = event_key(to_text(change.event_id))
        found = _find(db, event_id)
        if found is None:
            continue
        state, popup_key = found
        if isinstance(change, Withdrawal):
            then = after(state, Move.WITHDRAWN)
            if then is None:
                continue
            _settle(db, event_id, then, change.why)
        elif state not in OPEN_STATES:
            continue
        elif isinstance(change, Rewrite):
            _rewrite(db, event_id, change.content)
        else:
            db.execute(
                "UPDATE deliveries SET text = ?, markup = ? WHERE event_id = ? AND text IS NOT NULL",
                (to_text(change.text), to_text(change.markup), event_id),
            )
        changed.add(event_id)
        if popup_key is not None:
            mark_stale(db, popup_key)
            changed.add(popup_key)
    return changed


def apply_settlement(db: sqlite3.Connection, settlement: Settlement, shown_in: str | None) -> bool:
    """Makes one move, if it fits the delivery's state. Returns whether it did. `shown_in`: the key of the popup into
    which SHOWN and REPLACED put the delivery."""
    event_id, move = event_key(to_text(settlement.event_id)), settlement.move
    found = _find(db, event_id)
    then = after(found[0], move) if found is not None else None
    if found is None or then is None:
        return False
    if then not in OPEN_STATES:
        _settle(db, event_id, then, settlement.why)
        return True
    popup_key = found[1]
    if move is Move.REPLACED and popup_key == shown_in:
        # Most often so: a message more in a popup moves all that it shows already, and nothing changes for these.
        return True
    if move in (Move.SHOWN, Move.REPLACED):
        popup_key = popup_key if shown_in is None else shown_in
    # In no popup any more: closed, refused, or gone with its server.
    elif move is Move.SERVER_RESTARTED or move in (Move.DISMISSED, Move.GAVE_UP):
        popup_key = None
    is_failure = move is Move.FAILED
    db.execute(
        "UPDATE deliveries SET state = ?, popup_key = ?, why = ?, attempts = attempts + ?,"
        " due_ms = CASE WHEN ? THEN ? ELSE due_ms END WHERE event_id = ?",
        (
            then.value,
            popup_key,
            to_text(settlement.why),
            is_failure,
            is_failure,
            to_integer(settlement.due_ms),
            event_id,
        ),
    )
    return True


def read_open(db: sqlite3.Connection, room_ids: Collection[RoomId]) -> list[Delivery]:
    """Unread deliveries of these rooms, in the order in which they came."""
    found: list[Delivery] = []
    for condition, values in among("room_id", room_ids):
        rows = db.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE {OPEN} AND {condition}", values)
        found.extend(_delivery(row) for row in rows)
    return sorted(found, key=lambda each: each.position)


def read_delivery(db: sqlite3.Connection, event_id: EventKey) -> Delivery | None:
    """The delivery of this event, in whatever state; None: there is none."""
    row = db.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE event_id = ?", (to_text(event_id),)).fetchone()
    return None if row is None else _delivery(row)


def read_open_rooms(db: sqlite3.Connection) -> frozenset[RoomId]:
    """Rooms with an unread event of the homeserver's, whose ids begin with "$". Invites and our own notices have ids of
    another kind, and no receipt ever settles them."""
    # typeof: a row that cannot be read must not stop the others; `store.set_aside` deals with it.
    rows = db.execute(
        f"SELECT DISTINCT room_id FROM deliveries WHERE {OPEN} AND substr(event_id, 1, 1) = '$'"
        " AND typeof(room_id) = 'text'"
    )
    return frozenset(room_id for (room_id,) in rows)


def read_rooms_open_by(db: sqlite3.Connection, senders: Collection[UserId]) -> frozenset[RoomId]:
    """Rooms with an unread delivery by one of these users, invites included."""
    found: set[RoomId] = set()
    for condition, values in among("sender", senders):
        rows = db.execute(
            f"SELECT DISTINCT room_id FROM deliveries WHERE {OPEN} AND {condition} AND typeof(room_id) = 'text'", values
        )
        found.update(room_id for (room_id,) in rows)
    return frozenset(found)


def read_due(
    db: sqlite3.Connection, now_ms: int, latest_ms: int | None, through: Through | None = None
) -> list[Delivery]:
    """PENDING deliveries that are due and that quiet does not hold back, and the SHOWN ones that are needed to write
    their popups anew; in the order in which they came."""
    # due: what is new. touched: the popups that change, those of rooms with something new and the stale ones. quoted:
    # what these show already, newest first. The popup of one room quotes LINES messages, however many it shows; a
    # summary counts by room, so it needs them all.
    condition, passing = _passing(through)
    rows = db.execute(
        "WITH due AS (SELECT position, room_id FROM deliveries"
        f" WHERE state = 'pending' AND (due_ms <= ? OR due_ms > ?) AND {condition}),"
        " touched AS (SELECT room_id AS key FROM due UNION SELECT key FROM popups WHERE is_stale),"
        " quoted AS (SELECT position, popup_key = room_id AS is_room,"
        " row_number() OVER (PARTITION BY popup_key ORDER BY position DESC) AS place FROM deliveries"
        " WHERE state = 'shown' AND popup_key IN (SELECT key FROM touched))"
        f" SELECT {_COLUMNS} FROM deliveries WHERE position IN (SELECT position FROM due"
        " UNION ALL SELECT position FROM quoted WHERE place <= ? OR NOT is_room) ORDER BY position",
        (to_integer(now_ms), _latest(latest_ms), *passing, LINES),
    )
    return [_delivery(row) for row in rows]


def read_shown_in(db: sqlite3.Connection, key: str) -> list[Delivery]:
    """The deliveries that this popup shows, in the order in which they came."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE popup_key = ? AND state = 'shown' ORDER BY position", (to_text(key),)
    )
    return [_delivery(row) for row in rows]


def read_ringing(db: sqlite3.Connection) -> list[Delivery]:
    """Unread calls that ring or have rung, the one that stops first at the front."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE rings_until_ms > 0 AND {OPEN} ORDER BY rings_until_ms LIMIT ?",
        (_MOST_CALLS,),
    )
    return [_delivery(row) for row in rows]


def read_next_due_ms(
    db: sqlite3.Connection, now_ms: int, latest_ms: int | None, through: Through | None = None
) -> int | None:
    """When the next PENDING delivery is due that quiet does not hold back, in ms since 1970, among those that
    `read_due` leaves out; None: there is none."""
    condition, passing = _passing(through)
    row = db.execute(
        f"SELECT min(due_ms) FROM deliveries WHERE state = 'pending' AND due_ms > ? AND due_ms <= ? AND {condition}",
        (to_integer(now_ms), _latest(latest_ms), *passing),
    ).fetchone()
    due_ms: int | None = row[0]
    return due_ms


def _passing(through: Through | None) -> tuple[str, list[str]]:
    """The condition on deliveries that quiet does not hold back, and its parameters."""
    if through is None:
        return "1", []
    # Sorted, so that of too many the same ones count each time.
    ids = [to_text(each) for each in sorted(through.ids)][:_MOST_IDS]
    marks = ",".join("?" * len(ids))
    conditions = [f"{column} IN ({marks})" for column in ("room_id", "sender")]
    if through.highlights:
        conditions.append("is_highlight")
    return f"({' OR '.join(conditions)})", ids * 2


def _latest(latest_ms: int | None) -> int:
    return _NEVER_MS if latest_ms is None else to_integer(latest_ms)


def count_by_state(db: sqlite3.Connection) -> dict[str, int]:
    """The number of deliveries by state, also of states without any."""
    counts = {state.value: 0 for state in State}
    counts.update(db.execute("SELECT state, count(*) FROM deliveries GROUP BY state"))
    return counts


def _find(db: sqlite3.Connection, event_id: EventKey) -> tuple[State, str | None] | None:
    row = db.execute("SELECT state, popup_key FROM deliveries WHERE event_id = ?", (event_id,)).fetchone()
    return (State(row[0]), row[1]) if row else None


def _settle(db: sqlite3.Connection, event_id: EventKey, state: State, why: str) -> None:
    db.execute(
        f"UPDATE deliveries SET state = ?, why = ?, {_ERASED} WHERE event_id = ?",
        (state.value, to_text(why), event_id),
    )


def _rewrite(db: sqlite3.Connection, event_id: EventKey, content: Content) -> None:
    # due_ms: what was not tried yet may go up at once, since its text has come. What failed before keeps the time of
    # its next try, or a server that refuses would be asked again at once.
    db.execute(
        "UPDATE deliveries SET room_title = ?, sender_name = ?, text = ?, category = ?, is_direct = ?,"
        " is_highlight = ?, sound = ?,"
        " markup = ?, avatar = ?, thread = ?, rings_until_ms = ?, can_decline = ?, call_id = ?,"
        " due_ms = CASE attempts WHEN 0 THEN 0 ELSE due_ms END WHERE event_id = ?",
        (*_content_values(content), event_id),
    )


def _values(delivery: Delivery) -> tuple[Any, ...]:
    head = (
        to_text(delivery.room_id),
        to_text(delivery.sender),
        to_optional_text(delivery.thread_root),
        to_optional_text(delivery.edits),
        to_integer(delivery.due_ms),
    )
    content = delivery.content
    return (*head, *((None,) * 13 if content is None else _content_values(content)))


def _content_values(content: Content) -> tuple[Any, ...]:
    return (
        to_text(content.room_title),
        to_text(content.sender_name),
        to_text(content.text),
        content.category.value,
        content.is_direct,
        content.is_highlight,
        to_optional_text(content.sound),
        to_text(content.markup),
        to_optional_text(content.avatar),
        to_optional_text(content.thread),
        to_integer(content.rings_until_ms),
        content.can_decline,
        to_text(content.call_id),
    )


def _delivery(row: tuple[Any, ...]) -> Delivery:
    fit(row, _KINDS)
    event_id, room_id, sender, thread_root, edits, state, position, attempts, due_ms, popup_key, why, *content = row
    return Delivery(
        event_id=event_id,
        room_id=room_id,
        sender=sender,
        content=_content(*content),
        thread_root=thread_root,
        edits=edits,
        state=State(state),
        position=position,
        attempts=attempts,
        due_ms=due_ms,
        popup_key=popup_key,
        why=why,
    )


def _content(
    room_title: str | None,
    sender_name: str,
    text: str | None,
    category: str,
    is_direct: int,
    is_highlight: int,
    sound: str | None,
    markup: str | None,
    avatar: str | None,
    thread: str | None,
    rings_until_ms: int | None,
    can_decline: int | None,
    call_id: str | None,
) -> Content | None:
    if room_title is None or text is None:
        return None
    return Content(
        room_title=room_title,
        sender_name=sender_name,
        text=text,
        category=Category(category),
        is_direct=bool(is_direct),
        is_highlight=bool(is_highlight),
        sound=sound,
        markup=markup or "",
        avatar=avatar,
        thread=thread,
        rings_until_ms=rings_until_ms or 0,
        can_decline=bool(can_decline),
        call_id=call_id or "",
    )
