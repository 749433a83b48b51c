"""Which notifications went to which device with which `next_batch`, and which tokens came back as `since`.

What a response carries is on disk before the response goes out. All of it is in memory, too, so that a /sync with
nothing new touches no disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from weakref import WeakValueDictionary

from heliograph.relay.model.carried import Carried, DeviceNotifications, Key
from heliograph.relay.ports import CarriedStore

MAX_OPEN = 1_000
"""Unacknowledged notifications of a device. The oldest go first: who is away so long has other ways to catch up."""
MAX_ACKNOWLEDGED = 500
"""Acknowledged ones that are remembered singly. An event as old as the oldest of them counts as acknowledged."""
MAX_CARRIED = 50
"""Responses of a device that can still be acknowledged."""
MAX_CARRIED_IDS = 5_000
"""The event ids of all of them. Who acknowledges nothing has the same ones in each response."""


class CarriedNotifications:
    """Notifications of all direct devices. Every change is on disk when its call returns, or raises StorageError."""

    def __init__(self, store: CarriedStore) -> None:
        self._store = store
        self._devices: dict[Key, DeviceNotifications] = {}
        # One change of a device at a time: each is computed from memory, which follows the disk. Changes of several
        # devices share their commits. A lock that nobody holds or waits for is forgotten.
        self._changing: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def load(cls, store: CarriedStore) -> CarriedNotifications:
        carried = cls(store)
        carried._devices = await store.load()
        return carried

    async def begin(self, key: Key, since_ts: int, known: Iterable[Carried]) -> None:
        """The device is notified of events that are not older than `since_ts` (ms since 1970) and not `known`.

        What was open before is open no more.
        """
        device = DeviceNotifications(
            since_ts, acknowledged={each.event_id: each.ts for each in known if each.ts >= since_ts}
        )
        async with self._lock(key):
            await self._store.begin(key, device)
            self._devices[key] = device

    async def end(self, key: Key) -> None:
        async with self._lock(key):
            if key in self._devices:
                await self._store.end(key)
                del self._devices[key]

    def open_in(self, key: Key) -> Mapping[str, Carried]:
        """Notifications that were carried and not acknowledged, by event id."""
        device = self._devices.get(key)
        return device.open if device else {}

    def wants(self, key: Key, event_id: str, ts: int | None) -> bool:
        """Whether the device is to be notified: it has not acknowledged the event, nor is that from before its time.

        `ts` None: the event has just come.
        """
        device = self._devices.get(key)
        if device is None or event_id in device.acknowledged:
            return False
        return ts is None or ts >= device.since_ts or event_id in device.open

    async def carry(self, key: Key, next_batch: str, carried: Collection[Carried]) -> None:
        """A response is about to bring these notifications.

        If an earlier response with the same token brought fewer, the token acknowledges only those: nobody knows which
        of the two responses arrived.
        """
        async with self._lock(key):
            device = self._devices.get(key)
            if device is not None:
                await self._carry(key, device, next_batch, carried)

    async def _carry(
        self, key: Key, device: DeviceNotifications, next_batch: str, carried: Collection[Carried]
    ) -> None:
        ids = frozenset(each.event_id for each in carried)
        before = device.responses.get(next_batch)
        ids = ids if before is None else ids & before
        opened = dict(device.open)
        opened.update((each.event_id, each) for each in carried)
        dropped = [] if len(opened) <= MAX_OPEN else sorted(opened, key=lambda id_: opened[id_].ts)[:-MAX_OPEN]
        for event_id in dropped:
            del opened[event_id]
        new = [each for event_id, each in opened.items() if event_id not in device.open]
        # A token that is repeated counts as the newest response.
        responses = {token: held for token, held in device.responses.items() if token != next_batch}
        responses[next_batch] = ids
        outdated = _outdated(responses)
        # The same response once more writes nothing.
        if new or dropped or ids != before or outdated:
            await self._store.carry(key, next_batch, ids, new=new, dropped=dropped, outdated=outdated)
        # In memory only after the commit, so that a disk that fails leaves both alike.
        for token in outdated:
            del responses[token]
        device.open, device.responses = opened, responses

    def acknowledged_by(self, key: Key, since: str) -> frozenset[str]:
        """The events that `since` acknowledges, and that are not acknowledged yet."""
        device = self._devices.get(key)
        ids = device.responses.get(since) if device else None
        return frozenset() if device is None or ids is None else ids & device.open.keys()

    async def acknowledge(self, key: Key, since: str) -> None:
        """The events of `acknowledged_by` are acknowledged, and the device is never notified of them again."""
        async with self._lock(key):
            device = self._devices.get(key)
            if device is None or since not in device.responses:
                return
            settled = [device.open[event_id] for event_id in self.acknowledged_by(key, since)]
            # Older responses go, too: a client that went on does not come back to their tokens.
            tokens = list(device.responses)
            await self._settle(key, device, settled, tokens[: tokens.index(since) + 1])

    async def drop(self, key: Key, event_ids: Collection[str]) -> None:
        """Drops events of which nothing will come any more: they are redacted, or their room was left."""
        async with self._lock(key):
            device = self._devices.get(key)
            gone = [device.open[event_id] for event_id in event_ids if event_id in device.open] if device else []
            if device is not None and gone:
                await self._settle(key, device, gone, [])

    def _lock(self, key: Key) -> asyncio.Lock:
        lock = self._changing.get(key)
        if lock is None:
            lock = self._changing[key] = asyncio.Lock()
        return lock

    async def _settle(
        self, key: Key, device: DeviceNotifications, settled: list[Carried], responses: list[str]
    ) -> None:
        acknowledged = dict(device.acknowledged)
        acknowledged.update((each.event_id, each.ts) for each in settled)
        since_ts, forgotten = device.since_ts, []
        if len(acknowledged) > MAX_ACKNOWLEDGED:
            by_age = sorted(acknowledged, key=lambda id_: acknowledged[id_])
            # Whatever is as old as the newest forgotten one counts as acknowledged from now on.
            forgotten = by_age[: len(by_age) - MAX_ACKNOWLEDGED]
            since_ts = max(since_ts, acknowledged[forgotten[-1]] + 1)
        await self._store.settle(
            key, [each.event_id for each in settled], responses=responses, forgotten=forgotten, since_ts=since_ts
        )
        for event_id in forgotten:
            acknowledged.pop(event_id, None)
        device.acknowledged, device.since_ts = acknowledged, since_ts
        device.open = {id_: each for id_, each in device.open.items() if id_ not in acknowledged}
        for event_id in forgotten:
            device.open.pop(event_id, None)
        device.responses = {token: ids for token, ids in device.responses.items() if token not in responses}


def _outdated(responses: dict[str, frozenset[str]]) -> list[str]:
    """The tokens of the oldest responses beyond the bounds. The newest stays in any case."""
    tokens, ids = list(responses), 0
    for number, token in enumerate(reversed(tokens)):
        ids += len(responses[token])
        if number and (number >= MAX_CARRIED or ids > MAX_CARRIED_IDS):
            return tokens[: len(tokens) - number]
    return []
