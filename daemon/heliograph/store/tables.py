"""What of the ledger's tables is read or written together, in one transaction each.

Everything here runs in the database's thread, one at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from heliograph.core.delivery import Move
from heliograph.core.ids import RoomId, UserId, is_room_id
from heliograph.core.popups.quiet import Through
from heliograph.core.record import Agenda, Change, Decision, Judged, Plan, PopupRecord
from heliograph.ports.ledger import Committed, Settlement
from heliograph.store import account, deliveries, judgements, locked, popups, rooms
from heliograph.store.set_aside import prune_set_aside

_PRUNED_AT_ONCE = 1_000


class Tables:
    """The tables of one ledger, and what of them the delivery loop may not have seen yet."""

    def __init__(self) -> None:
        self._changed_since_agenda: set[str] = set()
        """Ids of deliveries, and keys of their popups, that changed since the last `agenda`: what the delivery loop has
        put on screen since then may show them as they were."""

    def commit(self, plan: Plan, now_ms: int, db: sqlite3.Connection) -> Committed:
        """Writes a whole plan, and its sync token."""
        # The order matters: judgements first, since they give the positions; then the deliveries whose positions are
        # new; then the changes, which may be of deliveries that this very plan brought.
        known = judgements.last_position(db)
        # Of what rings only now the judgement is replaced, and where it stands is still true.
        ringing = [each.event_id for each in (*plan.judged, *plan.rejudged) if each.decision is Decision.RING]
        places = judgements.read_places(db, ringing)
        judgements.forget_unlisted(db, plan.judged)
        judgements.replace_judged(db, plan.rejudged, now_ms)
        judgements.insert_judged(db, plan.judged, now_ms)
        judgements.insert_judged(db, _judgements_missing(plan), now_ms)
        judgements.restore_places(db, places)
        judgements.write_places(db, plan.timelines)
        new = deliveries.insert_deliveries(db, plan.deliveries, known)
        self._changed_since_agenda |= deliveries.apply_changes(db, plan.changes)
        locked.insert_locked(db, plan.locked, now_ms)
        locked.delete_locked(db, plan.unlocked)
        rooms.write_rooms(db, plan.rooms, now_ms)
        account.merge_account_data(db, plan.account_data)
        if plan.has_counted:
            account.write_counted(db)
        if plan.next_batch is not None:
            account.write_token(db, plan.next_batch)
            if not plan.is_empty:
                account.write_sync_time(db, now_ms)
        return Committed(new, read_open_rooms(db))

    def change(self, changes: Sequence[Change], db: sqlite3.Connection) -> None:
        """Writes what became of deliveries elsewhere."""
        self._changed_since_agenda |= deliveries.apply_changes(db, changes)

    def agenda(self, now_ms: int, latest_ms: int | None, through: Through | None, db: sqlite3.Connection) -> Agenda:
        """Reads all that the delivery loop has to do."""
        # What changes from here on is not in the answer: `settle` then marks the popup as stale.
        self._changed_since_agenda.clear()
        return Agenda(
            deliveries=tuple(deliveries.read_due(db, now_ms, latest_ms, through)),
            popups=tuple(popups.read_popups(db)),
            next_ms=deliveries.read_next_due_ms(db, now_ms, latest_ms, through),
            ringing=tuple(deliveries.read_ringing(db)),
        )

    def settle(
        self,
        settlements: Sequence[Settlement],
        shown: PopupRecord | None,
        closed: str | None,
        db: sqlite3.Connection,
    ) -> None:
        """Writes what became of deliveries on screen, and of the popup that shows them."""
        shown_in = None if shown is None else shown.key
        # Before the deliveries, which refer to it (foreign key).
        if shown is not None:
            popups.write_popup(db, shown)
        # If one of its messages was edited or withdrawn while Notify was under way, the popup shows an old state. It is
        # marked so, and the next round writes it anew.
        is_old = shown_in in self._changed_since_agenda
        for settlement in settlements:
            fits = deliveries.apply_settlement(db, settlement, shown_in)
            is_on_screen = settlement.move in (Move.SHOWN, Move.REPLACED)
            is_old |= is_on_screen and (not fits or settlement.event_id in self._changed_since_agenda)
        if is_old and shown_in is not None:
            popups.mark_stale(db, shown_in)
        if closed is not None:
            popups.delete_popup(db, closed)


def _judgements_missing(plan: Plan) -> list[Judged]:
    """Judgements for deliveries that came without one: without a position a delivery would be lost."""
    known = {each.event_id for each in (*plan.judged, *plan.rejudged)}
    return [
        Judged(
            each.event_id,
            each.room_id if is_room_id(each.room_id) else None,
            Decision.RING,
            "",
            sender=each.sender,
            thread_root=each.thread_root,
        )
        for each in plan.deliveries
        if each.event_id not in known
    ]


def read_rooms_open_by(db: sqlite3.Connection, senders: Collection[UserId]) -> frozenset[RoomId]:
    """Rooms with unread deliveries by these users, and rooms with events that wait for their keys."""
    return deliveries.read_rooms_open_by(db, senders) | locked.read_locked_rooms(db)


def read_open_rooms(db: sqlite3.Connection) -> frozenset[RoomId]:
    """Rooms with unread deliveries, and rooms with events that wait for their keys: what the user reads elsewhere
    before the key comes must not ring when it comes."""
    return deliveries.read_open_rooms(db) | locked.read_locked_rooms(db)


def prune(before_ms: int, db: sqlite3.Connection) -> int:
    """Forgets at most a thousand rows of each kind that are older. Returns how many."""
    older = sum(
        forget(db, before_ms, _PRUNED_AT_ONCE)
        for forget in (judgements.prune_judged, rooms.prune_names, locked.prune_locked, prune_set_aside)
    )
    # Rooms come last: a room is forgotten only when no judged event names it any more.
    return older or rooms.prune_left(db, _PRUNED_AT_ONCE)
