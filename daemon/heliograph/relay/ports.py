"""Interfaces between the relay's rooms, and between all of them and a database.

A database is one `Store`: `store/sqlite` is the one there is. Whatever a port was told is on disk when the call
returns; if that fails, the call raises StorageError.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from heliograph.core.events import Json
from heliograph.core.reading import Mark
from heliograph.core.value_type import value_type
from heliograph.relay.model.around import Around
from heliograph.relay.model.carried import Carried, DeviceNotifications, Key
from heliograph.relay.model.outcome import Outcome
from heliograph.relay.model.presence import DevicePresence
from heliograph.relay.model.pushers import DirectPusher, Twin
from heliograph.relay.model.pushes import Accepted, Attempt, Push, QueueChange, WaitingCount, Why

MOST_WITHDRAWN = 2_000
"""Hidden pushkeys of dropped twins that are remembered; those dropped longest ago are forgotten first."""


@value_type
class StoredPushers:
    """All that a database has of pushers."""

    twins: list[Twin]
    direct: list[DirectPusher]
    withdrawn: list[str]
    """Hidden pushkeys of twins that were deleted, the oldest first."""


class PusherStore(Protocol):
    """Direct pushers and twins on disk."""

    async def load(self) -> StoredPushers: ...
    async def users_with(self, app_id: str, pushkey: str) -> set[str]:
        """The users who have a twin or a direct pusher of this name."""
        ...

    async def put_twin(self, twin: Twin) -> None:
        """Stores the twin, in place of the user's twin for the same app id and pushkey."""
        ...

    async def put_direct(self, pusher: DirectPusher) -> None:
        """Stores the pusher, in place of the user's direct pusher of the same app id and pushkey."""
        ...

    async def delete(self, twins: Collection[Twin], direct: Collection[DirectPusher]) -> None:
        """Deletes these pushers; a missing one is passed over. The hidden pushkeys of twins stay known as withdrawn."""
        ...


class CarriedStore(Protocol):
    """Which notifications went to which device, on disk."""

    async def load(self) -> dict[Key, DeviceNotifications]: ...
    async def begin(self, key: Key, device: DeviceNotifications) -> None:
        """Stores a device in place of everything that was known of it; nothing is open in `device`."""
        ...

    async def end(self, key: Key) -> None: ...
    async def carry(
        self,
        key: Key,
        next_batch: str,
        event_ids: Collection[str],
        *,
        new: Collection[Carried],
        dropped: Collection[str],
        outdated: Collection[str],
    ) -> None:
        """The response with `next_batch` carries `event_ids`, of which `new` were not open before.

        `dropped` event ids and the responses with `outdated` tokens are forgotten with the same commit.
        """
        ...

    async def settle(
        self,
        key: Key,
        event_ids: Collection[str],
        *,
        responses: Collection[str],
        forgotten: Collection[str],
        since_ts: int,
    ) -> None:
        """`event_ids` are acknowledged; `responses` (tokens) and `forgotten` (event ids) need not be known any more.

        `since_ts` (ms since 1970): what is older counts as acknowledged.
        """
        ...


class PresenceStore(Protocol):
    """Which direct devices are there, on disk."""

    async def load(self) -> dict[Key, DevicePresence]: ...
    async def put(self, devices: Mapping[Key, DevicePresence]) -> None:
        """Stores the presence of these devices, in place of what was known of it."""
        ...

    async def delete(self, key: Key) -> None: ...


class PushStore(Protocol):
    """The queue of pushes on disk. Each change is one transaction, at `now_ms` (ms since 1970)."""

    async def rejected(self) -> set[str]:
        """The hidden pushkeys that their gateways rejected."""
        ...

    async def waiting_queues(self, now_ms: int) -> dict[str, int]:
        """The hidden pushkeys of all queues in which something waits, and when (ms) each wants to be looked at.

        After a clock was set back, times in the future are brought to what they can be at most by `now_ms`.
        """
        ...

    async def count(self, now_ms: int) -> WaitingCount: ...

    async def prune(self, now_ms: int) -> bool:
        """Forgets some of what is settled for two days, no more than other changes may wait for. Returns True if there
        is more to forget."""
        ...

    async def take(
        self, push: Push, unconcerned_devices: Collection[str], most_waiting: int, now_ms: int
    ) -> QueueChange[Accepted]:
        """Stores a push that came. Acknowledgements of `unconcerned_devices` do not settle it.

        Where more than `most_waiting` pushes wait for its pusher, the oldest are given up.
        """
        ...

    async def known(self, hidden_pushkey: str, event_ids: Collection[str]) -> set[str]:
        """Those of at most 2,000 events of which a push came for this pusher."""
        ...

    async def begin(self, hidden_pushkey: str, now_ms: int) -> QueueChange[Attempt | int | None]:
        """Notes the first push of a queue as tried, and returns it if it is due.

        An int: when (ms) it will be due. None: nothing waits.
        """
        ...

    async def finish(
        self, hidden_pushkey: str, attempt: Attempt, outcome: Outcome, now_ms: int
    ) -> QueueChange[int | None]:
        """Notes the outcome of an attempt. Returns when (ms) the queue is to be looked at again; None: nothing waits.

        A push that was cancelled meanwhile keeps that outcome.
        """
        ...

    async def acknowledge(
        self,
        user_id: str,
        device_id: str,
        event_ids: Collection[str],
        unconcerned_pushkeys: Collection[str],
        now_ms: int,
    ) -> QueueChange[None]:
        """A device has these events. `unconcerned_pushkeys` are those of twins that do not wait for the device."""
        ...

    async def cancel_events(
        self, user_id: str | None, room_id: str, event_ids: Collection[str], why: Why, now_ms: int
    ) -> QueueChange[None]:
        """Takes back pushes of these events, only of that room. `user_id` None: for every user."""
        ...

    async def cancel_read(
        self, user_id: str, room_id: str, mark: Mark, around: Around, now_ms: int
    ) -> QueueChange[None]:
        """The user read up to this event. `around`: what stands around it, as far as that was asked for."""
        ...

    async def is_unplaced(self, user_id: str, room_id: str, mark: Mark, around: Around) -> bool:
        """Whether a push waits of which nobody knows if this mark reads it."""
        ...

    async def cancel_room(self, user_id: str, room_id: str, why: Why, now_ms: int) -> QueueChange[None]: ...
    async def cancel_all(self, user_id: str, why: Why, now_ms: int) -> QueueChange[None]:
        """Takes back every push of the user that tells of an event."""
        ...

    async def has_waiting(self, hidden_pushkey: str) -> bool:
        """Whether a push waits for this pusher."""
        ...

    async def cancel_queue(self, hidden_pushkey: str, why: Why, now_ms: int) -> QueueChange[None]:
        """Takes back everything that waits for this pusher."""
        ...

    async def forget(self, hidden_pushkey: str, now_ms: int) -> QueueChange[None]:
        """Forgets a pusher that is gone, with its pushes."""
        ...


@value_type
class Store:
    """An open database of the relay."""

    pushers: PusherStore
    carried: CarriedStore
    presence: PresenceStore
    pushes: PushStore
    written_ms: int
    """When (ms since 1970) it was last written to before it was opened; 0: never."""


class PusherLookup(Protocol):
    """The pushers that the relay knows, answered from memory."""

    def twin_of(self, device: Json) -> Twin | None:
        """The twin behind an entry of a push's `devices`: by the hidden pushkey in its `data`, else by its pushkey."""
        ...

    def is_withdrawn(self, device: Json) -> bool:
        """Whether the twin behind an entry of a push's `devices` was dropped here, so that its pushkey (as it came)
        belongs into `rejected`. What is neither known nor withdrawn may be missing here by mistake."""
        ...

    def twin(self, hidden_pushkey: str) -> Twin | None: ...
    def twins_of(self, user_id: str) -> list[Twin]: ...
    def direct_of(self, user_id: str) -> list[DirectPusher]: ...


class DirectDevices(Protocol):
    """Devices with a direct pusher, as the push gateway sees them. Answered from memory."""

    def hold_until(self, user_id: str, app_id: str, pushkey: str, received_ms: int) -> int | None:
        """Until when (ms since 1970) the push that came at `received_ms` for this http pusher waits; None: send it."""
        ...

    def announce(self, user_id: str, room_id: str, event_id: str, notification: Json) -> None:
        """A push came, `notification` as the homeserver sent it to this one device: wakes this user's long-polls.

        To be called once for each push, whatever becomes of it: disabled twins, wakers and repeats too.
        """
        ...


class Cancellations(Protocol):
    """Takes pushes back. An event that is settled for a user stays so, whichever push of it comes later."""

    async def acknowledge(self, user_id: str, device_id: str, event_ids: Collection[str]) -> None:
        """A direct device has these events: pushes of http pushers that wait for this device are dropped."""
        ...

    async def cancel_events(self, user_id: str | None, room_id: str, event_ids: Collection[str], why: Why) -> None:
        """Takes back pushes of these events, only of that room. `user_id` None: for every user (a redaction)."""
        ...

    async def cancel_read(self, user_id: str, room_id: str, mark: Mark, around: Around) -> None:
        """The user read up to this event. `around`: what stands around it, as far as that was asked for."""
        ...

    async def is_unplaced(self, user_id: str, room_id: str, mark: Mark, around: Around) -> bool:
        """Whether a push waits of which nobody knows if this mark reads it."""
        ...

    async def cancel_room(self, user_id: str, room_id: str, why: Why) -> None: ...
    async def cancel_all(self, user_id: str, why: Why) -> None:
        """Takes back every push of the user that tells of an event."""
        ...

    async def has_waiting(self, hidden_pushkey: str) -> bool:
        """Whether a push waits for this pusher."""
        ...

    async def forget(self, hidden_pushkey: str) -> None:
        """Forgets a pusher that is gone, with its pushes and its gateway's rejection."""
        ...

    def is_rejected(self, hidden_pushkey: str) -> bool:
        """Whether the real gateway rejected this pushkey, which the homeserver is to be told at its next push."""
        ...


class PushIntake(Protocol):
    """Takes pushes."""

    async def known(self, hidden_pushkey: str, event_ids: Collection[str]) -> set[str]:
        """Those of at most 2,000 events of which a push came for this pusher. Raises StorageError."""
        ...

    async def take(self, push: Push) -> Accepted:
        """A push that came for an http pusher. A repeated one is known by its event id. Raises StorageError."""
        ...


class Upkeep(Protocol):
    """Keeps pushers in line with the homeserver's."""

    def follow(
        self, user_id: str, device_id: str | None, authorization: Mapping[str, str], *, is_astray: bool = False
    ) -> None:
        """A request of this user passes, with this access token. `is_astray`: the device was past the relay lately.

        Returns at once; whatever is to be done is done beside the request.
        """
        ...
