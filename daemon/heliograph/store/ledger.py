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
from heliograph.core.ids import EventKey, RoomId, UserId
from heliograph.core.popups.quiet import Through
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.record import (
    AccountState,
    Agenda,
    Change,
    Delivery,
    LockedEvent,
    Plan,
    PopupRecord,
    RoomRecord,
)
from heliograph.core.summary.unread import UnreadRoom
from heliograph.errors import HeliographError, StateError, StorageError
from heliograph.ports.ledger import Committed, Settlement
from heliograph.store import account, deliveries, judgements, locked, mutes, popups, rooms, unread
from heliograph.store.kept_answers import KeptAnswers
from heliograph.store.lock import AccountLock, InUse
from heliograph.store.set_aside import find_unreadable, set_aside_unreadable
from heliograph.store.tables import Tables, prune, read_open_rooms, read_rooms_open_by
from heliograph.system.migrations import read_migrations
from heliograph.system.sqlite import Database, whole_or_closed

log = logging.getLogger(__name__)

T = TypeVar("T")

LEDGER_NAME = "ledger.db"
MOST_ROOMS_KEPT = 32
"""KeptAnswers about rooms that stay in memory: those in which somebody writes at the moment, with who writes there."""
LEAVING_S = 30.0
"""How long to wait for a process that has said that it is leaving the account."""
_LOOK_AGAIN_S = 0.1
_KEEPING = frozenset({Move.SHOWN, Move.REPLACED, Move.FAILED})
"""Moves after which a delivery keeps its text. After any other one, the journal has to be emptied of it."""
MIGRATIONS = read_migrations("heliograph.store")
_AskedRooms = tuple[frozenset[RoomId], frozenset[UserId]]


class SqliteLedger:
    """A `ports.ledger.Ledger`. Holds the account's lock for as long as it is open."""

    def __init__(self, database: Database, lock: AccountLock) -> None:
        self._database = database
        self._lock = lock
        self._tables = Tables()
        self._unread: KeptAnswers[int, tuple[UnreadRoom, ...]] = KeptAnswers(1)
        self._rooms: KeptAnswers[_AskedRooms, dict[RoomId, RoomRecord]] = KeptAnswers(MOST_ROOMS_KEPT)

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
        asked = frozenset(room_ids), frozenset(names_of)
        kept = self._rooms.get(asked)
        if kept is None:
            read = partial(rooms.read_rooms, room_ids=room_ids, names_of=names_of)
            kept = await self._read(lambda db: self._rooms.read(asked, partial(read, db)))
        return dict(kept)

    async def open_deliveries(self, room_ids: Collection[RoomId]) -> list[Delivery]:
        return await self._read(partial(deliveries.read_open, room_ids=room_ids))

    async def rooms_open_by(self, senders: Collection[UserId]) -> frozenset[RoomId]:
        return await self._read(partial(read_rooms_open_by, senders=senders))

    async def rooms_with_open_deliveries(self) -> frozenset[RoomId]:
        return await self._read(read_open_rooms)

    async def positions(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        return await self._read(partial(judgements.read_positions, event_ids=event_ids))

    async def places(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        return await self._read(partial(judgements.read_places, event_ids=event_ids))

    async def threads(self, event_ids: Collection[EventKey]) -> dict[EventKey, str]:
        return await self._read(partial(judgements.read_threads, event_ids=event_ids))

    async def commit(self, plan: Plan, now_ms: int) -> Committed:
        commit = partial(self._tables.commit, plan, now_ms)
        return await self._write(commit, erases=bool(plan.changes), changes_rooms=bool(plan.rooms))

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        return await self._read(partial(self._tables.agenda, now_ms, latest_ms, through))

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
        await self._write(partial(self._tables.settle, settlements, shown, closed), erases=erases)

    async def forget_popup_ids(self, server: str | None, *, is_shown_again: bool = False) -> None:
        forget = popups.renew_popups_of_other_servers if is_shown_again else popups.delete_popups_of_other_servers
        await self._write(partial(forget, server=server))

    async def counts(self) -> dict[str, int]:
        return await self._read(deliveries.count_by_state)

    async def locked_events(self, keys: Collection[RoomKey] | None) -> list[LockedEvent]:
        if keys is None:
            return await self._read(locked.read_all_locked)
        return await self._read(partial(locked.read_locked_by, keys=keys))

    async def locked_in(self, room_ids: Collection[RoomId]) -> list[LockedEvent]:
        return await self._read(partial(locked.read_locked_in, room_ids=room_ids))

    async def unread(self, messages: int = 0) -> tuple[UnreadRoom, ...]:
        kept = None if messages else self._unread.get(messages)
        if kept is not None:
            return kept
        read = partial(unread.read_unread, messages=messages)
        if messages:
            # Texts of messages are kept on disk alone, where what erases them is sure to find them.
            return await self._read(read)
        return await self._read(lambda db: self._unread.read(messages, partial(read, db)))

    async def erase_history(self, *, with_unread: bool = False) -> int:
        erased = await self._write(partial(unread.erase_history, with_unread=with_unread))
        # At once: whoever erases the history wants nothing of it left on disk.
        await self._database.empty_journal()
        return erased

    async def change(self, changes: Sequence[Change]) -> None:
        await self._write(partial(self._tables.change, changes))

    async def mutes(self) -> list[TimedMute]:
        return await self._read(mutes.read_mutes)

    async def keep_mute(self, mute: TimedMute) -> None:
        await self._write(partial(mutes.write_mute, mute=mute))

    async def forget_mute(self, room_id: RoomId) -> None:
        await self._write(partial(mutes.delete_mute, room_id=room_id))

    async def prune(self, before_ms: int) -> None:
        # One transaction for each thousand rows: a sync that wants to commit meanwhile does not wait for all of them.
        while await self._write(partial(prune, before_ms), erases=True, changes_rooms=True):
            pass

    async def close(self) -> None:
        try:
            await self._database.close()
        finally:
            self._lock.release()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._despite_unreadable(lambda: self._database.read(work))

    async def _write(
        self, work: Callable[[sqlite3.Connection], T], *, erases: bool = False, changes_rooms: bool = False
    ) -> T:
        noted = partial(self._change, work, changes_rooms=changes_rooms)
        return await self._despite_unreadable(lambda: self._database.transaction(noted, erases=erases))

    def _change(self, work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection, *, changes_rooms: bool) -> T:
        # Before the change, in the database's thread: whoever asks meanwhile is answered after the transaction.
        self._unread.forget()
        if changes_rooms:
            self._rooms.forget()
        return work(db)

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
        set_aside = partial(self._change, set_aside_unreadable, changes_rooms=True)
        for each in (found := await self._database.transaction(set_aside)):
            log.error("Set aside in the ledger, since it cannot be read: %s", each.words)
        return bool(found)


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
