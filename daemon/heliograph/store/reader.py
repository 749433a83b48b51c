"""Looks into an account's ledger for commands, beside the daemon that has it. Takes no lock, and changes nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TypeVar

from heliograph.core.ids import EventKey, RoomId, UserId
from heliograph.core.record import AccountState, EventRecord, RoomRecord
from heliograph.core.summary.unread import Rung, UnreadRoom
from heliograph.errors import StateError
from heliograph.store import account, deliveries, judgements, rooms, unread
from heliograph.store.ledger import LEDGER_NAME, MIGRATIONS
from heliograph.store.set_aside import Unreadable, find_unreadable, read_set_aside
from heliograph.system.service_manager import to_restart
from heliograph.system.sqlite import Database

T = TypeVar("T")


class LedgerReader:
    """Reads the ledger for commands, beside the daemon that writes to it. Takes no lock and changes nothing. Each
    method raises StorageError or StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account(self) -> AccountState:
        return await self._read(account.read_account)

    async def counts(self) -> dict[str, int]:
        return await self._read(deliveries.count_by_state)

    async def unread(self, messages: int = 0) -> tuple[UnreadRoom, ...]:
        return await self._read(partial(unread.read_unread, messages=messages))

    async def history(self, limit: int) -> tuple[Rung, ...]:
        """The last `limit` messages that rang, newest first."""
        return await self._read(partial(unread.read_history, limit=limit))

    async def event(self, event_id: EventKey) -> EventRecord | None:
        """All that is known of this event; None: it was never judged, or its judgement is forgotten by now."""
        return await self._read(partial(_read_event, event_id))

    async def rooms(self) -> list[RoomRecord]:
        """All known rooms, but no more than `rooms.MOST_ROOMS`."""
        return await self._read(rooms.read_all_rooms)

    async def room(self, room_id: RoomId, names_of: Collection[UserId]) -> RoomRecord | None:
        """This room with the known display names of `names_of`; None: it is unknown."""
        found = await self._read(partial(rooms.read_rooms, room_ids=[room_id], names_of=names_of))
        return found.get(room_id)

    async def gap(self, room_id: RoomId) -> str:
        """Why the room's newest gap that stays open does so, in words; empty: it has none."""
        return await self._read(partial(judgements.read_gap, room_id=room_id))

    async def unreadable(self) -> list[Unreadable]:
        """Rows that cannot be read now. The daemon sets them aside when it comes across one."""
        return await self._database.read(find_unreadable)

    async def set_aside(self) -> list[Unreadable]:
        """Rows that were set aside, since they could not be read."""
        return await self._database.read(read_set_aside)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.read(work)
        except (ValueError, TypeError) as error:
            raise StateError(
                "Something in the ledger cannot be read",
                f"Start the daemon anew, which sets that alone aside: {await asyncio.to_thread(to_restart)}",
            ) from error

    async def close(self) -> None:
        await self._database.close()


async def open_readonly(folder: Path) -> LedgerReader:
    """Opens the ledger in this folder for reading. Raises StateError if there is none, or one of another version."""
    return LedgerReader(await Database.open_readonly(folder / LEDGER_NAME, len(MIGRATIONS)))


def _read_event(event_id: EventKey, db: sqlite3.Connection) -> EventRecord | None:
    found = judgements.read_judged(db, event_id)
    return None if found is None else EventRecord(*found, deliveries.read_delivery(db, event_id))
