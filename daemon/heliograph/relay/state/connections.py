"""Connections of direct devices: which of them have a /sync pending, and what a push told that they have not got
yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from heliograph.relay.model.carried import Key
from heliograph.relay.model.pushers import Json
from heliograph.relay.state.carried import CarriedNotifications
from heliograph.relay.state.registry import Registry

MAX_WAITING = 1_000
MAX_WAKES = 20
"""How often a notification that is never acknowledged ends a poll before its time."""


@dataclass(slots=True)
class PendingNotification:
    """An event that rings, and that no response brought yet."""

    room_id: str
    notification: Json
    """As the push had it; empty if GET /notifications told of it."""
    attempts: int = 0
    """How often it was looked for in vain where notifications are listed."""


class DeviceConnection:
    """One direct device's."""

    def __init__(self) -> None:
        self.pending = 0
        self.ended_ms: int | None = None
        self.present_until_ms = 0
        """Of a device that acknowledges without a /sync: how long it said to be there."""
        self.waiting: dict[str, PendingNotification] = {}
        self.is_fresh = True
        """Since the relay started, nobody has looked what this device has missed."""
        self._wakes: set[asyncio.Event] = set()
        self._carried: Counter[str] = Counter()

    @contextlib.contextmanager
    def poll(self, clock: Callable[[], int]) -> Iterator[asyncio.Event]:
        """For the length of a request. The event is set by every push."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        self.pending += 1
        try:
            yield wake
        finally:
            self._wakes.discard(wake)
            self.pending -= 1
            self.ended_ms = clock()

    def note(self, event_id: str, room_id: str, notification: Json) -> None:
        """It waits for a response, and pending polls are told."""
        if event_id not in self.waiting:
            self.waiting[event_id] = PendingNotification(room_id, notification)
            if len(self.waiting) > MAX_WAITING:
                del self.waiting[next(iter(self.waiting))]
        elif notification:
            self.waiting[event_id].notification = notification
        for wake in self._wakes:
            wake.set()

    def keep(self, event_id: str, room_id: str) -> None:
        """It waits for the next request, without waking anybody."""
        if len(self.waiting) < MAX_WAITING:
            self.waiting.setdefault(event_id, PendingNotification(room_id, {}))

    def is_urgent(self, event_ids: Iterable[str]) -> bool:
        """Whether one of these shall end a poll."""
        return any(self._carried[event_id] < MAX_WAKES for event_id in event_ids)

    def carry(self, event_ids: Iterable[str]) -> None:
        """A response brings them."""
        for event_id in event_ids:
            self.waiting.pop(event_id, None)
            self._carried[event_id] += 1

    def settle(self, event_ids: Collection[str]) -> None:
        """They are acknowledged, or nothing will come of them."""
        for event_id in event_ids:
            self.waiting.pop(event_id, None)
            self._carried.pop(event_id, None)

    def look_in_vain(self, event_ids: Iterable[str], most: int) -> None:
        """They were not where they should be; after `most` such looks they are forgotten."""
        for event_id in event_ids:
            pending = self.waiting.get(event_id)
            if pending is not None:
                pending.attempts += 1
                if pending.attempts >= most:
                    self.settle([event_id])


class DeviceConnections:
    """`ports.DirectDevices`."""

    def __init__(self, registry: Registry, carried: CarriedNotifications, clock: Callable[[], int]) -> None:
        self._registry = registry
        self._carried = carried
        self._clock = clock
        self._connections: dict[Key, DeviceConnection] = {}
        self._undecided: dict[bytes, set[asyncio.Event]] = {}
        self.counts: Counter[str] = Counter()
        """Notifications since the start: carried, acknowledged; and woken: polls that one of them ended."""

    @contextlib.contextmanager
    def undecided(self, fingerprint: bytes) -> Iterator[asyncio.Event]:
        """For the length of a request of a device that is not direct. The event is set if it becomes so."""
        turned = asyncio.Event()
        same = self._undecided.setdefault(fingerprint, set())
        same.add(turned)
        try:
            yield turned
        finally:
            same.discard(turned)
            if not same:
                self._undecided.pop(fingerprint, None)

    def turn(self, fingerprint: bytes) -> None:
        """The device of this access token is direct now."""
        for turned in self._undecided.get(fingerprint, ()):
            turned.set()

    def connection(self, key: Key) -> DeviceConnection:
        return self._connections.setdefault(key, DeviceConnection())

    def forget(self, key: Key) -> None:
        self._connections.pop(key, None)

    def is_direct(self, user_id: str, device_id: str) -> bool:
        """Whether the device has a direct pusher, switched on or off."""
        return any(each.device_id == device_id for each in self._registry.direct_of(user_id))

    def is_enabled(self, user_id: str, device_id: str) -> bool:
        """Whether the device has a direct pusher that is switched on."""
        return any(each.device_id == device_id and each.is_enabled for each in self._registry.direct_of(user_id))

    def be_present(self, key: Key, until_ms: int) -> None:
        """A device that does not sync here is there until then."""
        self.connection(key).present_until_ms = until_ms

    def hold_until(self, user_id: str, app_id: str, pushkey: str, received_ms: int) -> int | None:
        ends = [
            received_ms + pusher.delay_ms
            for pusher in self._registry.direct_of(user_id)
            if pusher.is_enabled
            and pusher.is_waited_for_by(app_id, pushkey)
            and self._is_active((user_id, pusher.device_id), pusher.active_ms, received_ms)
        ]
        return max(ends, default=None)

    def announce(self, user_id: str, room_id: str, event_id: str, notification: Json) -> None:
        devices = {each.device_id for each in self._registry.direct_of(user_id) if each.is_enabled}
        for device_id in devices:
            key = (user_id, device_id)
            if self._carried.wants(key, event_id, None) and event_id not in self._carried.open_in(key):
                self.connection(key).note(event_id, room_id, notification)

    @property
    def pending(self) -> int:
        """How many requests of direct devices are open."""
        return sum(connection.pending for connection in self._connections.values())

    def _is_active(self, key: Key, active_ms: int, now_ms: int) -> bool:
        connection = self._connections.get(key)
        if connection is None:
            return False
        if connection.pending or now_ms < connection.present_until_ms:
            return True
        # The clock may have been set back meanwhile.
        return connection.ended_ms is not None and abs(now_ms - connection.ended_ms) <= active_ms
