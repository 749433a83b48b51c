"""The relay's state: pushers, notifications carried to devices, and the devices' connections."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from heliograph.core.events import Json
from heliograph.core.value_type import value_type
from heliograph.relay.model.carried import Carried, Key
from heliograph.relay.ports import Store
from heliograph.relay.state.carried import CarriedNotifications
from heliograph.relay.state.connections import DeviceConnections
from heliograph.relay.state.presence import PresenceRecord
from heliograph.relay.state.registry import Registry


@value_type
class RelayState:
    """`ports.DirectDevices`. Methods that are awaited have their change on disk when they return, or raise
    StorageError."""

    registry: Registry
    carried: CarriedNotifications
    connections: DeviceConnections
    presence: PresenceRecord

    @classmethod
    async def load(cls, store: Store, now_ms: Callable[[], int]) -> RelayState:
        """The state that the database has, with no device connected. Raises StorageError."""
        before = await store.presence.load()
        connections = DeviceConnections(now_ms, before)
        return cls(
            await Registry.load(store.pushers),
            await CarriedNotifications.load(store.carried),
            connections,
            PresenceRecord(store.presence, before, connections, now_ms),
        )

    def hold_until(self, user_id: str, app_id: str, pushkey: str, received_ms: int) -> int | None:
        ends = [
            received_ms + pusher.delay_ms
            for pusher in self.registry.direct_of(user_id)
            if pusher.is_enabled
            and pusher.is_waited_for_by(app_id, pushkey)
            and self.connections.is_active((user_id, pusher.device_id), pusher.active_ms, received_ms)
        ]
        # The latest of them: any of the user's desktops may still acknowledge.
        return max(ends, default=None)

    def announce(self, user_id: str, room_id: str, event_id: str, notification: Json) -> None:
        devices = {each.device_id for each in self.registry.direct_of(user_id) if each.is_enabled}
        for device_id in devices:
            key = (user_id, device_id)
            # What an earlier response carried comes with the next one anyway.
            if self.carried.wants(key, event_id, None) and event_id not in self.carried.open_in(key):
                self.connections.connection(key).note(event_id, room_id, notification)

    def owed_to(self, key: Key) -> frozenset[str]:
        """Ids of the events that a response to this device shall notify of, as far as is known now."""
        if not self.registry.is_enabled(*key):
            return frozenset()
        return frozenset((*self.connections.connection(key).waiting, *self.carried.open_in(key)))

    async def begin_device(self, key: Key, since_ts: int, known: Iterable[Carried]) -> None:
        """A device gets a direct pusher: it is notified of what is not older than `since_ts` (ms since 1970) and not
        among `known`."""
        await self.carried.begin(key, since_ts, known)
        connection = self.connections.connection(key)
        connection.settle(list(connection.waiting))
        connection.begin()

    async def end_device(self, key: Key) -> None:
        """The device has no direct pusher any more."""
        await self.carried.end(key)
        self.connections.forget(key)
        await self.presence.forget(key)

    async def be_present(self, key: Key, present_ms: int) -> None:
        """A device that does not sync here is there for so long from now; 0: it has left."""
        self.connections.be_present(key, present_ms)
        await self.presence.keep()

    async def acknowledge(self, key: Key, since: str, event_ids: Collection[str]) -> None:
        """The device has `event_ids`, which `carried.acknowledged_by` tells of the token `since`."""
        await self.carried.acknowledge(key, since)
        self.connections.connection(key).settle(event_ids)
        self.connections.counts["acknowledged"] += len(event_ids)

    async def drop_events(self, key: Key, event_ids: Collection[str]) -> None:
        """Drops events of which nothing will come any more: they are redacted, or their room was left."""
        if event_ids:
            await self.carried.drop(key, event_ids)
            self.connections.connection(key).settle(event_ids)

    async def leave_room(self, user_id: str, room_id: str) -> set[str]:
        """Drops all events of a room that the user left: no device is notified of them again. Returns their ids."""
        left: set[str] = set()
        for pusher in self.registry.direct_of(user_id):
            key = (user_id, pusher.device_id)
            opened = [each.event_id for each in self.carried.open_in(key).values() if each.room_id == room_id]
            waiting = self.connections.connection(key).waiting.items()
            gone = {*opened, *(event_id for event_id, pending in waiting if pending.room_id == room_id)}
            await self.drop_events(key, gone)
            left |= gone
        return left
