"""Looks up in the key backup the room keys that messages wait for: at once, and again for an hour, since the user's
other clients take ten seconds and more to put a key there.
Test: test_what_another_client_backs_up_later_comes_later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import Json
from heliograph.core.text.clean import count_things
from heliograph.encryption.identity.cross_signing import SigningDevice
from heliograph.encryption.identity.key_backup import KeyBackup
from heliograph.encryption.identity.secret_storage import BACKUP
from heliograph.errors import HeliographError, ServerError, StorageError
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

MOST_WANTED = 1000
"""Room keys that wait; the oldest are given up for new ones."""
AGAIN_S = (15.0, 60.0, 600.0, 3600.0)
"""After how long a key that is not in the backup is looked for again. Clients take some ten seconds to put it there."""
TROUBLE_S = 60.0
"""How long to wait for a homeserver or disk that failed."""


class KeyStore(SigningDevice, Protocol):
    """The part of the machine that is needed here."""

    async def import_room_key(self, key: RoomKey, content: Json) -> bool: ...


@dataclass(slots=True)
class _WantedKey:
    due_s: float
    looks: int = 0


class Restoration:
    """Restores the room keys of one account. `run` does the work; without the backup's key it waits for `take_key`."""

    def __init__(
        self,
        backup: KeyBackup,
        store: KeyStore,
        *,
        on_room_keys: Callable[[Collection[RoomKey]], Awaitable[None]],
    ) -> None:
        self._backup = backup
        self._store = store
        self._on_room_keys = on_room_keys
        self._wanted: dict[RoomKey, _WantedKey] = {}
        self._is_changed = asyncio.Event()

    def want(self, keys: Collection[RoomKey]) -> None:
        """Messages wait for these."""
        now = asyncio.get_running_loop().time()
        for key in keys:
            self._wanted.setdefault(key, _WantedKey(now))
        while len(self._wanted) > MOST_WANTED:
            del self._wanted[next(iter(self._wanted))]
        self._is_changed.set()

    def take_key(self) -> None:
        """There is a key for the backup now."""
        now = asyncio.get_running_loop().time()
        for key in self._wanted:
            # All looks anew: those before it could open nothing.
            self._wanted[key] = _WantedKey(now)
        self._is_changed.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        await keep_running("key backup", self._run)

    async def _run(self) -> None:
        while True:
            self._is_changed.clear()
            try:
                delay = await self._look()
            except (ServerError, StorageError) as trouble:
                log.info("The key backup could not be asked: %s", trouble)
                delay = TROUBLE_S
            await self._rest(delay)

    async def _rest(self, delay: float | None) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._is_changed.wait()
        except TimeoutError:
            return

    async def _look(self) -> float | None:
        """Seconds until there is more to do; None: nothing, for now."""
        if not self._wanted or await self._store.secret(BACKUP) is None:
            return None
        loop, found = asyncio.get_running_loop(), []
        try:
            for key in [key for key, wanted in self._wanted.items() if wanted.due_s <= loop.time()]:
                if await self._restore(key):
                    found.append(key)
                    self._wanted.pop(key, None)
                else:
                    self._put_off(key, loop.time())
        # Also if the rest failed: what was found is in the store, and messages wait for it.
        finally:
            if found:
                log.info("%s came from the key backup", count_things(len(found), "room key"))
                await self._on_room_keys(found)
        return max(0.0, min(wanted.due_s for wanted in self._wanted.values()) - loop.time()) if self._wanted else None

    async def _restore(self, key: RoomKey) -> bool:
        """Whether the key was in the backup, and is in the store now."""
        try:
            content = await self._backup.fetch(key)
            return content is not None and await self._store.import_room_key(key, content)
        except HeliographError:
            raise
        except Exception:
            # The others are not to wait for one that finds a fault of ours.
            self._put_off(key, asyncio.get_running_loop().time())
            raise

    def _put_off(self, key: RoomKey, now_s: float) -> None:
        wanted = self._wanted.get(key)
        if wanted is None:
            return  # given up meanwhile
        if wanted.looks == len(AGAIN_S):
            del self._wanted[key]
            return
        wanted.due_s, wanted.looks = now_s + AGAIN_S[wanted.looks], wanted.looks + 1
