"""Waiting pushes taken back in SQL: acknowledged, read, redacted, left, cleared, or their pusher gone.

Plain functions over the connection. That an event is settled is remembered for two days, since its push may come later:
/sync was first with every second event. Test: test_a_push_that_comes_after_its_acknowledgement_never_goes_out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence

from heliograph.core.reading import Candidate, Counts, Mark, Place, read_by, unplaced, weave
from heliograph.core.value_type import value_type
from heliograph.relay.model.around import NOTHING, Around
from heliograph.relay.model.pushes import Changes, Push, Why
from heliograph.relay.store.sqlite.queue import settle
from heliograph.relay.store.sqlite.settled import remember

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
        remember(db, user_id, event_id, Why.ACKNOWLEDGED, device_id, "", now_ms)
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
        remember(db, user_id or EVERYONE, event_id, why, "", room_id, now_ms)
        # coalesce: without a user the condition holds for everybody.
        condition = "event_id = ? AND room_id = ? AND user_id = coalesce(?, user_id)"
        settle(db, condition, (event_id, room_id, user_id), why, changes)


def cancel_read(
    db: sqlite3.Connection, user_id: str, room_id: str, mark: Mark, around: Around, now_ms: int, changes: Changes
) -> None:
    """The user read up to this event: what stands before it, in this room and thread, is read as well.

    Pushes come in the order of their events. Where the event itself was never pushed, `around` tells what stands before
    it; without that, only the event itself is read.
    Tests: test_a_receipt_of_an_event_nobody_was_told_of_takes_nothing_back,
    test_a_threaded_receipt_takes_back_what_is_known_to_be_of_its_thread.
    """
    remember(db, user_id, mark.event_id, _UP_TO, mark.thread_id or "", room_id, now_ms)
    _settle_read(db, user_id, room_id, mark, around, changes)


def is_unplaced(db: sqlite3.Connection, user_id: str, room_id: str, mark: Mark, around: Around) -> bool:
    """Whether a push waits of which nobody knows if this mark reads it."""
    return any(
        unplaced([mark], queue.candidates, queue.places)
        or (mark.thread_id is not None and any(each.thread_id is None for each in queue.candidates))
        for queue in _read_queues(db, user_id, room_id, mark, around)
    )


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
            _settle_read(db, push.user_id, room_id, Mark(push.event_id, detail or None), NOTHING, changes)
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


@value_type
class _Queue:
    """What waits for one pusher in one room, and what is known of the order there."""

    positions: Mapping[str, int]
    """Of the pushes that wait, by event id."""
    candidates: Sequence[Candidate]
    places: Mapping[str, Place]


def _settle_read(
    db: sqlite3.Connection, user_id: str, room_id: str, mark: Mark, around: Around, changes: Changes
) -> None:
    for queue in _read_queues(db, user_id, room_id, mark, around):
        for event_id in read_by([mark], queue.candidates, queue.places, Counts()):
            settle(db, "position = ?", (queue.positions[event_id],), Why.READ, changes)


def _read_queues(db: sqlite3.Connection, user_id: str, room_id: str, mark: Mark, around: Around) -> Iterator[_Queue]:
    waiting: dict[str, list[tuple[str, int, str | None]]] = {}
    rows = db.execute(
        "SELECT hidden_pushkey, event_id, position, thread_id FROM pushes"
        " WHERE user_id = ? AND room_id = ? AND event_id IS NOT NULL AND outcome IS NULL",
        (user_id, room_id),
    )
    for key, event_id, position, thread_id in rows:
        waiting.setdefault(key, []).append((event_id, position, thread_id))
    # What was settled already stays as a row, and tells the order as well.
    told = [mark.event_id, *around.stretch]
    marks = ", ".join("?" * len(told))
    for key, pushes in waiting.items():
        known = db.execute(
            f"SELECT event_id, position FROM pushes WHERE hidden_pushkey = ? AND room_id = ? AND event_id IN ({marks})",  # noqa: S608
            (key, room_id, *told),
        ).fetchall()
        positions = {event_id: position for event_id, position, _ in pushes}
        places = {event_id: (0, float(position)) for event_id, position in (*known, *positions.items())}
        yield _Queue(
            positions,
            [Candidate(event_id, thread_id or around.threads.get(event_id)) for event_id, _, thread_id in pushes],
            weave(places, around.stretch),
        )
