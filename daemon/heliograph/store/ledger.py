"""Implements `ports.ledger` over one SQLite file, `ledger.db` in the account's folder.

The sync token and all that the sync brought are written in one transaction: after a kill at any moment, the next /sync
asks again for exactly what was not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from heliograph.core.delivery import Move
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventKey, RoomId, UserId, is_room_id
from heliograph.core.popups.quiet import Through
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.record import (
    AccountState,
    Agenda,
    Change,
    Decision,
    Delivery,
    Judged,
    LockedEvent,
    Plan,
    PopupRecord,
    RoomRecord,
)
from heliograph.core.summary.unread import UnreadRoom
from heliograph.errors import HeliographError, StateError, StorageError
from heliograph.ports.ledger import Committed, Settlement
from heliograph.store import account, deliveries, judgements, locked, mutes, popups, rooms, unread
from heliograph.store.lock import AccountLock, InUse
from heliograph.store.set_aside import (
    find_unreadable,
    prune_set_aside,
    set_aside_unreadable,
)
from heliograph.system.migrations import read_migrations
from heliograph.system.sqlite import Database, whole_or_closed

log = logging.getLogger(__name__)

T = TypeVar("T")

LEDGER_NAME = "ledger.db"
LEAVING_S = 30.0
"""How long to wait for a process that has said that it is leaving the account."""
_LOOK_AGAIN_S = 0.1
_KEEPING = frozenset({Move.SHOWN, Move.REPLACED, Move.FAILED})
"""Moves after which a delivery keeps its text. After any other one, the journal has to be emptied of it."""
MIGRATIONS = read_migrations("heliograph.store")
_PRUNED_AT_ONCE = 1_000


class SqliteLedger:
    """A `ports.ledger.Ledger`. Holds the account's lock for as long as it is open."""

    def __init__(self, database: Database, lock: AccountLock) -> None:
        self._database = database
        self._lock = lock
        self._changed_since_agenda: set[str] = set()
        """Ids of deliveries, and keys of their popups, that changed since the last `agenda`: what the delivery loop has
        put on screen since then may show them as they were."""

    @classmethod
    async def open(cls, folder: Path, *, is_leaving: bool = False) -> SqliteLedger:
        """Opens the ledger, and creates the folder (mode 0700) and the file (0600) if missing. Raises StateError if
        they cannot be used, and InUse if another process has the account.

        Waits up to LEAVING_S for a process that has said that it is leaving the account. With `is_leaving` this one
        says so as well, and the next one waits for it.
        """
        waited_s = 0.0
        while True:
            try:
                return await whole_or_closed(cls._open(folder, is_leaving=is_leaving))
            except InUse as error:
                if not error.is_leaving or waited_s >= LEAVING_S:
                    raise
                if not waited_s:
                    log.info("Process %d is leaving the account in %s, and is waited for", error.pid, folder)
            await asyncio.sleep(_LOOK_AGAIN_S)
            waited_s += _LOOK_AGAIN_S

    @classmethod
    async def _open(cls, folder: Path, *, is_leaving: bool) -> SqliteLedger:
        # The lock first: opening the ledger may migrate it, which two processes must not do at once.
        lock = await asyncio.to_thread(_lock_privately, folder)
        try:
            if is_leaving:
                lock.say(is_leaving=True)
            database = await Database.open(folder / LEDGER_NAME, MIGRATIONS)
        except BaseException:
            lock.release()
            raise
        ledger = cls(database, lock)
        with contextlib.suppress(StorageError):
            # A disk that takes nothing now may take this later: whoever reads such a row has it set aside then.
            await ledger._set_aside_unreadable()
        return ledger

    def say(self, *, is_leaving: bool) -> None:
        """Tells the process that wants the account next whether to wait, since this one is leaving."""
        try:
            self._lock.say(is_leaving=is_leaving)
        except OSError as error:
            log.warning("The lock of an account cannot be written: %s", error)

    async def account(self) -> AccountState:
        return await self._read(account.read_account)

    async def set_pusher_enabled(self, is_enabled: bool) -> None:
        await self._write(partial(account.write_pusher_enabled, is_enabled=is_enabled))

    async def set_switched_off(self, keys: Collection[PusherKey]) -> None:
        await self._write(partial(account.write_switched_off, keys=keys))

    async def set_fallback(self, key: PusherKey | None) -> None:
        await self._write(partial(account.write_fallback, key=key))

    async def rooms(self, room_ids: Collection[RoomId], names_of: Collection[UserId]) -> dict[RoomId, RoomRecord]:
        return await self._read(partial(rooms.read_rooms, room_ids=room_ids, names_of=names_of))

    async def open_deliveries(self, room_ids: Collection[RoomId]) -> list[Delivery]:
        return await self._read(partial(deliveries.read_open, room_ids=room_ids))

    async def rooms_with_open_deliveries(self) -> frozenset[RoomId]:
        return await self._read(_read_open_rooms)

    async def positions(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        return await self._read(partial(judgements.read_positions, event_ids=event_ids))

    async def commit(self, plan: Plan, now_ms: int) -> Committed:
        return await self._write(partial(self._commit, plan, now_ms), erases=bool(plan.changes))

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        return await self._read(partial(self._agenda, now_ms, latest_ms, through))

    async def popups(self) -> list[PopupRecord]:
        return await self._read(popups.read_popups)

    async def shown_in(self, key: str) -> list[Delivery]:
        return await self._read(partial(deliveries.read_shown_in, key=key))

    async def settle(
        self,
        settlements: Sequence[Settlement],
        *,
        shown: PopupRecord | None = None,
        closed: str | None = None,
    ) -> None:
        erases = any(each.move not in _KEEPING for each in settlements)
        await self._write(partial(self._settle, settlements, shown, closed), erases=erases)

    async def forget_popup_ids(self, server: str | None) -> None:
        await self._write(partial(popups.delete_popups_of_other_servers, server=server))

    async def counts(self) -> dict[str, int]:
        return await self._read(deliveries.count_by_state)

    async def locked_events(self, keys: Collection[RoomKey] | None) -> list[LockedEvent]:
        if keys is None:
            return await self._read(locked.read_all_locked)
        return await self._read(partial(locked.read_locked_by, keys=keys))

    async def locked_in(self, room_ids: Collection[RoomId]) -> list[LockedEvent]:
        return await self._read(partial(locked.read_locked_in, room_ids=room_ids))

    async def unread(self, messages: int = 0) -> tuple[UnreadRoom, ...]:
        return await self._read(partial(unread.read_unread, messages=messages))

    async def erase_history(self, *, with_unread: bool = False) -> int:
        erased = await self._write(partial(unread.erase_history, with_unread=with_unread))
        # At once: whoever erases the history wants nothing of it left on disk.
        await self._database.empty_journal()
        return erased

    async def change(self, changes: Sequence[Change]) -> None:
        await self._write(partial(self._change, changes))

    async def mutes(self) -> list[TimedMute]:
        return await self._read(mutes.read_mutes)

    async def keep_mute(self, mute: TimedMute) -> None:
        await self._write(partial(mutes.write_mute, mute=mute))

    async def forget_mute(self, room_id: RoomId) -> None:
        await self._write(partial(mutes.delete_mute, room_id=room_id))

    async def prune(self, before_ms: int) -> None:
        # One transaction for each thousand rows: a sync that wants to commit meanwhile does not wait for all of them.
        while await self._write(partial(_prune, before_ms), erases=True):
            pass

    async def close(self) -> None:
        try:
            await self._database.close()
        finally:
            self._lock.release()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._despite_unreadable(lambda: self._database.read(work))

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        return await self._despite_unreadable(lambda: self._database.transaction(work, erases=erases))

    async def _despite_unreadable(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Runs `ask`. If that fails because of rows that cannot be read, sets these aside and runs it once more."""
        try:
            return await ask()
        except HeliographError:
            raise
        except Exception:
            if not await self._set_aside_unreadable():
                raise
        return await ask()

    async def _set_aside_unreadable(self) -> bool:
        """Returns whether there was such a row. Looks with a read first: most often there is none, and nothing has to
        be written."""
        if not await self._database.read(find_unreadable):
            return False
        for each in (found := await self._database.transaction(set_aside_unreadable)):
            log.error("Set aside in the ledger, since it cannot be read: %s", each.words)
        return bool(found)

    # Run in the database's thread, one at a time.

    def _commit(self, plan: Plan, now_ms: int, db: sqlite3.Connection) -> Committed:
        # The order matters: judgements first, since they give the positions; then the deliveries whose positions are
        # new; then the changes, which may be of deliveries that this very plan brought.
        known = judgements.last_position(db)
        judgements.forget_unlisted(db, plan.judged)
        judgements.replace_judged(db, plan.rejudged, now_ms)
        judgements.insert_judged(db, plan.judged, now_ms)
        judgements.insert_judged(db, _judgements_missing(plan), now_ms)
        new = deliveries.insert_deliveries(db, plan.deliveries, known)
        self._changed_since_agenda |= deliveries.apply_changes(db, plan.changes)
        locked.insert_locked(db, plan.locked, now_ms)
        locked.delete_locked(db, plan.unlocked)
        rooms.write_rooms(db, plan.rooms, now_ms)
        account.merge_account_data(db, plan.account_data)
        if plan.next_batch is not None:
            account.write_token(db, plan.next_batch)
            if not plan.is_empty:
                account.write_sync_time(db, now_ms)
        return Committed(new, _read_open_rooms(db))

    def _change(self, changes: Sequence[Change], db: sqlite3.Connection) -> None:
        self._changed_since_agenda |= deliveries.apply_changes(db, changes)

    def _agenda(self, now_ms: int, latest_ms: int | None, through: Through | None, db: sqlite3.Connection) -> Agenda:
        # What changes from here on is not in the answer: `_settle` then marks the popup as stale.
        self._changed_since_agenda.clear()
        return Agenda(
            deliveries=tuple(deliveries.read_due(db, now_ms, latest_ms, through)),
            popups=tuple(popups.read_popups(db)),
            next_ms=deliveries.read_next_due_ms(db, now_ms, latest_ms, through),
            ringing=tuple(deliveries.read_ringing(db)),
        )

    def _settle(
        self,
        settlements: Sequence[Settlement],
        shown: PopupRecord | None,
        closed: str | None,
        db: sqlite3.Connection,
    ) -> None:
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


def _read_open_rooms(db: sqlite3.Connection) -> frozenset[RoomId]:
    """Rooms with unread deliveries, and rooms with events that wait for their keys: what the user reads elsewhere
    before the key comes must not ring when it comes."""
    return deliveries.read_open_rooms(db) | locked.read_locked_rooms(db)


def _prune(before_ms: int, db: sqlite3.Connection) -> int:
    older = sum(
        prune(db, before_ms, _PRUNED_AT_ONCE)
        for prune in (judgements.prune_judged, rooms.prune_names, locked.prune_locked, prune_set_aside)
    )
    # Rooms come last: a room is forgotten only when no judged event names it any more.
    return older or rooms.prune_left(db, _PRUNED_AT_ONCE)


def _lock_privately(folder: Path) -> AccountLock:
    _make_private(folder)
    return AccountLock.take(folder)


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            os.chmod(folder, 0o700)
    except OSError as error:
        raise StateError(
            f"The state folder {folder} cannot be used: {error.strerror or error}",
            f"Make {folder.parent} a folder that you own and may write to.",
        ) from error
