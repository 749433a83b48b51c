"""Connections of direct devices: which of them have a /sync pending, and which events no response told them of yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from heliograph.core.events import Json
from heliograph.relay.model.carried import Key
from heliograph.relay.model.presence import DevicePresence

STEPS = ("carried", "acknowledged", "woken")
"""What is counted: notifications that a response carried, and that were acknowledged; and polls that one of them ended.
"""
MAX_WAITING = 1_000
MAX_WAKES = 20
"""How often a notification that is never acknowledged ends a poll before its time."""


@dataclass(slots=True)
class PendingNotification:
    """An event that rings, and that no response brought yet."""

    room_id: str
    notification: Json
    """The notification as the push had it; empty if GET /notifications told of it."""
    attempts: int = 0
    """How often the event was looked for in vain where notifications are listed."""


class DeviceConnection:
    """The connection of one direct device. `now_ms` is the wall clock, in ms since 1970.

    `before` is the device's presence as the relay started, at `started_ms`; None: it was not there. `came` is set when
    the device comes.
    """

    def __init__(
        self, now_ms: Callable[[], int], started_ms: int, before: DevicePresence | None, came: asyncio.Event
    ) -> None:
        self._now_ms = now_ms
        self._came = came
        self.pending = 0
        """Requests for /sync that are open."""
        self._requests = 0
        """These, and what else shows for as long as it is open that the device is there."""
        self.waiting: dict[str, PendingNotification] = {}
        """The notifications that wait for a /sync, by event id."""
        self.is_fresh = True
        """Since the relay started, nobody has looked which notifications this device has missed."""
        self._present_until_ms = 0 if before is None else before.until_ms
        """Until when a device that acknowledges without a /sync said to be there."""
        self.repeats = 0
        """How often a request for /sync was repeated at the homeserver, to be answered at once."""
        self._tokens: tuple[str, ...] = ()
        self._ended_ms = _last_of(before, started_ms)
        """When the last request ended; None: there was none. A request that was open as the relay ended, ended when it
        started again."""
        self._is_written_as_gone = True
        self._wakes: set[asyncio.Event] = set()
        self._carried: Counter[str] = Counter()

    @contextlib.contextmanager
    def poll(self) -> Iterator[asyncio.Event]:
        """Lasts for a request for /sync. The event is set by every push."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        self.pending += 1
        try:
            with self.request():
                yield wake
        finally:
            self._wakes.discard(wake)
            self.pending -= 1

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Lasts for a request by which the device shows that it is there."""
        self._requests += 1
        if self._is_written_as_gone:
            self._is_written_as_gone = False
            self._came.set()
        try:
            yield
        finally:
            self._requests -= 1
            # The device counts as there for a while: between two long-polls it is busy with the first one's answer.
            self._ended_ms = self._now_ms()

    def begin(self) -> None:
        """The device has a direct pusher from now on, and has yet to show that it is there."""
        # What comes before the pusher is known here is looked for by the first poll.
        self.is_fresh = True

    def hand_out(self, since: str, next_batch: str) -> None:
        """The device's next request names one of these tokens, unless it synced past the relay."""
        self._tokens = (since, next_batch)

    def is_astray(self, since: str) -> bool:
        """Whether the device got this token past the relay, as far as is known."""
        return bool(self._tokens) and since not in self._tokens

    def be_present(self, present_ms: int) -> None:
        """The device says that it is there for so long from now; 0: that it has left."""
        now_ms = self._now_ms()
        self._present_until_ms = now_ms + present_ms
        self._ended_ms = None

    def presence(self, gone_ms: int) -> DevicePresence:
        """Whether the device is there, to be written. A request that ended after `gone_ms` (ms since 1970) counts as
        open: the next one may be on its way."""
        ended_ms = self._ended_ms
        if self._requests or (ended_ms is not None and ended_ms > gone_ms):
            ended_ms = None
        elif ended_ms is None:
            ended_ms = 0
        self._is_written_as_gone = ended_ms is not None
        return DevicePresence(ended_ms, self._present_until_ms)

    def is_active(self, active_ms: int, now_ms: int) -> bool:
        """Whether the device is there: it syncs or sets its pusher, did so within `active_ms`, or said that it is
        present.

        After a restart of the relay a device that was there before counts as there for `active_ms`, too: it may be on
        its way back, and a push that waits in vain is late by the hold.
        Test: test_after_a_restart_a_desktop_that_comes_back_keeps_the_phone_silent.
        """
        if self._requests or now_ms < self._present_until_ms:
            return True
        # Absolute, since the clock may have been set back meanwhile.
        return self._ended_ms is not None and abs(now_ms - self._ended_ms) <= active_ms

    def note(self, event_id: str, room_id: str, notification: Json) -> None:
        """The event waits for a response, and pending polls are woken."""
        if event_id not in self.waiting:
            self.waiting[event_id] = PendingNotification(room_id, notification)
            if len(self.waiting) > MAX_WAITING:
                # The one that waits longest: dicts keep the order of insertion.
                del self.waiting[next(iter(self.waiting))]
        elif notification:
            # GET /notifications told of the event first, and the push says more.
            self.waiting[event_id].notification = notification
        for wake in self._wakes:
            wake.set()

    def keep(self, event_id: str, room_id: str) -> None:
        """The event waits for the next request, without waking anybody."""
        if len(self.waiting) < MAX_WAITING:
            self.waiting.setdefault(event_id, PendingNotification(room_id, {}))

    def is_urgent(self, event_ids: Iterable[str]) -> bool:
        """Whether a poll should end for one of them."""
        return any(self._carried[event_id] < MAX_WAKES for event_id in event_ids)

    def carry(self, event_ids: Iterable[str]) -> None:
        """A response brings these events."""
        for event_id in event_ids:
            self.waiting.pop(event_id, None)
            self._carried[event_id] += 1

    def settle(self, event_ids: Collection[str]) -> None:
        """Forgets events that are acknowledged, or of which nothing will come."""
        for event_id in event_ids:
            self.waiting.pop(event_id, None)
            self._carried.pop(event_id, None)

    def look_in_vain(self, event_ids: Iterable[str], most: int) -> None:
        """Notes that these events were not where they should be; after `most` such looks they are forgotten."""
        for event_id in event_ids:
            pending = self.waiting.get(event_id)
            if pending is not None:
                pending.attempts += 1
                if pending.attempts >= most:
                    self.settle([event_id])


class DeviceConnections:
    """The connections of all direct devices, and requests of devices that may still become direct. `now_ms`: ms since
    1970. `before` tells which devices were there when the relay last ended."""

    def __init__(self, now_ms: Callable[[], int], before: Mapping[Key, DevicePresence]) -> None:
        self._now_ms = now_ms
        self._before = dict(before)
        self.came = asyncio.Event()
        """Set when a device comes."""
        self._started_ms = now_ms()
        self._connections: dict[Key, DeviceConnection] = {}
        self._undecided: dict[bytes, set[asyncio.Event]] = {}
        self.counts: Counter[str] = Counter()
        """Since the start, by STEPS."""

    @contextlib.contextmanager
    def undecided(self, fingerprint: bytes) -> Iterator[asyncio.Event]:
        """Lasts for a request of a device that is not direct. The event is set if the device becomes so."""
        turned = asyncio.Event()
        same = self._undecided.setdefault(fingerprint, set())
        same.add(turned)
        try:
            yield turned
        finally:
            same.discard(turned)
            # Several requests of one device may wait: the last one takes the entry along.
            if not same:
                self._undecided.pop(fingerprint, None)

    def turn(self, fingerprint: bytes) -> None:
        """The device of this access token is direct now."""
        for turned in self._undecided.get(fingerprint, ()):
            turned.set()

    def connection(self, key: Key) -> DeviceConnection:
        """The device's connection, made if there is none."""
        connection = self._connections.get(key)
        if connection is None:
            connection = DeviceConnection(self._now_ms, self._started_ms, self._before.pop(key, None), self.came)
            self._connections[key] = connection
        return connection

    def forget(self, key: Key) -> None:
        self._before.pop(key, None)
        self._connections.pop(key, None)

    def presence(self, gone_ms: int) -> dict[Key, DevicePresence]:
        """That of each device of which anything was heard or asked since the start, as `DeviceConnection.presence`."""
        return {key: connection.presence(gone_ms) for key, connection in self._connections.items()}

    def be_present(self, key: Key, present_ms: int) -> None:
        """A device that does not sync here is there for so long from now."""
        self.connection(key).be_present(present_ms)

    def is_active(self, key: Key, active_ms: int, now_ms: int) -> bool:
        """Whether the device is there, as `DeviceConnection.is_active` says."""
        return self.connection(key).is_active(active_ms, now_ms)

    @property
    def pending(self) -> int:
        """How many requests of direct devices are open."""
        return sum(connection.pending for connection in self._connections.values())


def _last_of(before: DevicePresence | None, started_ms: int) -> int | None:
    """When the last request of a device ended that was in this state as the relay ended."""
    if before is None:
        return None
    return started_ms if before.ended_ms is None else before.ended_ms
