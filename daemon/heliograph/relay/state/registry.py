"""The pushers that the relay keeps: direct ones, and the originals behind the twins. On disk first, then in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

from heliograph.core.events import Json
from heliograph.relay.model.pushers import MARK, DirectPusher, Twin, is_unclaimed
from heliograph.relay.ports import MOST_WITHDRAWN, PusherStore

T = TypeVar("T")


class Registry:
    """`ports.PusherLookup`. Reads are answered from memory; every change is on disk when its call returns, or raises
    StorageError."""

    def __init__(self, store: PusherStore) -> None:
        self._store = store
        self._twins: dict[str, Twin] = {}
        self._direct: dict[str, dict[tuple[str, str], DirectPusher]] = {}
        self._twins_of: dict[str, dict[tuple[str, str], Twin]] = {}
        self._withdrawn: dict[str, None] = {}
        """Hidden pushkeys of twins that were dropped, the oldest first."""
        self._unclaimed: set[str] = set()
        """Hidden pushkeys of twins that are nobody's so far."""

    @classmethod
    async def load(cls, store: PusherStore) -> Registry:
        """Raises StorageError."""
        registry = cls(store)
        loaded = await store.load()
        for twin in loaded.twins:
            registry._remember_twin(twin)
        for pusher in loaded.direct:
            registry._remember_direct(pusher)
        registry._withdraw(loaded.withdrawn)
        return registry

    @property
    def is_empty(self) -> bool:
        """Nobody has a direct pusher or a twin, so every request may pass untouched."""
        return not self._twins and not self._direct

    @property
    def has_direct(self) -> bool:
        return bool(self._direct)

    @property
    def users(self) -> int:
        """How many users have a pusher here."""
        return len(self.user_ids())

    def user_ids(self) -> set[str]:
        """The users who have a pusher here."""
        return self._direct.keys() | self._twins_of.keys()

    @property
    def direct_pushers(self) -> int:
        return sum(map(len, self._direct.values()))

    @property
    def http_pushers(self) -> int:
        return sum(twin.url is not None for twin in self._twins.values())

    @property
    def unclaimed(self) -> int:
        """How many twins are nobody's so far."""
        return len(self._unclaimed)

    def knows(self, user_id: str) -> bool:
        return user_id in self._direct or user_id in self._twins_of

    def twin(self, hidden_pushkey: str) -> Twin | None:
        return self._twins.get(hidden_pushkey)

    def twin_of(self, device: Json) -> Twin | None:
        pushkey = device.get("pushkey")
        twin = next((self._twins[name] for name in _hidden_in(device) if name in self._twins), None)
        # The pushkey must fit as well: a mark could be sent with any other pusher.
        if twin is None or pushkey != twin.upstream_pushkey:
            return None
        return twin

    def is_withdrawn(self, device: Json) -> bool:
        return any(name in self._withdrawn for name in _hidden_in(device))

    def twins_of(self, user_id: str) -> list[Twin]:
        return list(self._twins_of.get(user_id, {}).values())

    def twin_for(self, user_id: str, app_id: str, pushkey: str) -> Twin | None:
        """The user's twin for the pusher of this name."""
        return self._twins_of.get(user_id, {}).get((app_id, pushkey))

    def direct_of(self, user_id: str) -> list[DirectPusher]:
        return list(self._direct.get(user_id, {}).values())

    def direct_for(self, user_id: str, app_id: str, pushkey: str) -> DirectPusher | None:
        return self._direct.get(user_id, {}).get((app_id, pushkey))

    def is_direct(self, user_id: str, device_id: str) -> bool:
        """Whether the device has a direct pusher, switched on or off."""
        return any(each.device_id == device_id for each in self.direct_of(user_id))

    def is_enabled(self, user_id: str, device_id: str) -> bool:
        """Whether the device has a direct pusher that is switched on."""
        return any(each.device_id == device_id and each.is_enabled for each in self.direct_of(user_id))

    async def users_with(self, app_id: str, pushkey: str) -> set[str]:
        """The users who have a pusher of this name. Raises StorageError."""
        return await self._store.users_with(app_id, pushkey)

    async def put_twin(self, twin: Twin) -> None:
        # The disk first: after a failure memory must not know what the next start would not.
        await self._store.put_twin(twin)
        self._remember_twin(twin)

    async def put_direct(self, pusher: DirectPusher) -> None:
        await self._store.put_direct(pusher)
        self._remember_direct(pusher)

    async def drop(self, twins: Collection[Twin] = (), direct: Collection[DirectPusher] = ()) -> None:
        """Forgets these pushers, and withdraws the twins' hidden pushkeys; a missing one is passed over."""
        await self._store.delete(twins, direct)
        self._withdraw(twin.hidden_pushkey for twin in twins)
        for twin in twins:
            self._twins.pop(twin.hidden_pushkey, None)
            self._unclaimed.discard(twin.hidden_pushkey)
            _pop(self._twins_of, twin.user_id, (twin.app_id, twin.pushkey))
        for pusher in direct:
            _pop(self._direct, pusher.user_id, (pusher.app_id, pusher.pushkey))

    def _remember_twin(self, twin: Twin) -> None:
        # A twin that was nobody's so far is claimed.
        before = self._twins.get(twin.hidden_pushkey)
        if before is not None and before.user_id != twin.user_id:
            _pop(self._twins_of, before.user_id, (before.app_id, before.pushkey))
            self._unclaimed.discard(twin.hidden_pushkey)
        if is_unclaimed(twin):
            self._unclaimed.add(twin.hidden_pushkey)
        mine = self._twins_of.setdefault(twin.user_id, {})
        # A twin that is replaced under its name takes no pushes any more.
        replaced = mine.get((twin.app_id, twin.pushkey))
        if replaced is not None:
            self._twins.pop(replaced.hidden_pushkey, None)
        self._twins[twin.hidden_pushkey] = mine[(twin.app_id, twin.pushkey)] = twin

    def _withdraw(self, hidden_pushkeys: Iterable[str]) -> None:
        self._withdrawn |= dict.fromkeys(hidden_pushkeys)
        for name in list(self._withdrawn)[:-MOST_WITHDRAWN]:
            del self._withdrawn[name]

    def _remember_direct(self, pusher: DirectPusher) -> None:
        self._direct.setdefault(pusher.user_id, {})[(pusher.app_id, pusher.pushkey)] = pusher


def _hidden_in(device: Json) -> list[str]:
    """The pushkeys under which the twin of a push's device, or of an entry in GET /pushers, may be known here."""
    pushkey, data = device.get("pushkey"), device.get("data")
    mark = data.get(MARK) if isinstance(data, dict) else None
    return [name for name in (mark, pushkey) if isinstance(name, str)]


def _pop(table: dict[str, dict[tuple[str, str], T]], user_id: str, key: tuple[str, str]) -> None:
    mine = table.get(user_id, {})
    mine.pop(key, None)
    # No empty tables: `knows` and `is_empty` go by their keys.
    if not mine:
        table.pop(user_id, None)
