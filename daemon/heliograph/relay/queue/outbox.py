"""HTTP pushes on their way: on disk before anything is answered, in order for each pusher, until sent or cancelled.

The truth is in the database. Memory has only the times at which queues want to be looked at, so an idle pusher costs
nothing. Test: test_nothing_is_kept_of_keys_with_nothing_to_do.
A push is answered once it is committed, and an attempt is committed before it is made. Pushes that come at once share
their commits (`store/sqlite/group_commit.py`).
Test: test_an_answered_push_survives_a_kill.
Deadlines are kept through a restart: a push held for three seconds is neither held anew nor sent before its time.
Test: test_after_a_restart_what_was_not_acknowledged_goes_out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from heliograph.core.reading import Mark
from heliograph.relay.clock import Clock
from heliograph.relay.model.around import NOTHING, Around
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import MOST_WAITING, Accepted, Push, PushCounts, Why
from heliograph.relay.ports import PusherLookup, PushStore
from heliograph.relay.queue.commits import QueueCommits
from heliograph.relay.queue.dispatch import Dispatch, Sender
from heliograph.relay.queue.forwarding import MOST_IN_FLIGHT, MOST_PER_HOST
from heliograph.relay.queue.pruning import PushPruning
from heliograph.relay.queue.schedule import QueueSchedule
from heliograph.system.tasks import LongTask, listed_in, together


class Outbox:
    """`ports.Cancellations`. What a method was told is on disk when the method returns, or it raises StorageError."""

    def __init__(
        self,
        store: PushStore,
        pushers: PusherLookup,
        sender: Sender,
        clock: Clock,
        *,
        most_in_flight: int = MOST_IN_FLIGHT,
        most_per_host: int = MOST_PER_HOST,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._store = store
        self._pushers = pushers
        self._clock = clock
        self._most_waiting = most_waiting
        schedule = QueueSchedule(most_in_flight, most_per_host)
        self._commits = QueueCommits(store, schedule, clock)
        self._dispatch = Dispatch(store, self._commits, schedule, pushers, sender, clock)
        self._pruning = PushPruning(store, clock)
        self._accepted: Counter[str] = Counter()
        self.tasks: list[LongTask] = []
        """The long-lived ones that send, while `run` does."""

    @classmethod
    async def open(cls, store: PushStore, pushers: PusherLookup, sender: Sender, clock: Clock, **bounds: int) -> Outbox:
        """The outbox with the pushes that waited when the relay last ended. Raises StorageError."""
        outbox = cls(store, pushers, sender, clock, **bounds)
        await outbox._commits.load()
        return outbox

    async def take(self, push: Push) -> Accepted:
        """Takes a push of the homeserver. A repeated one is known by its event id."""
        # Nothing is kept for a gateway that wants nothing more: the homeserver is told at once.
        if push.hidden_pushkey in self._commits.rejected:
            return Accepted.REJECTED
        twin = self._pushers.twin(push.hidden_pushkey)
        unconcerned = set() if twin is None else self._devices_not_waited_for(twin)
        accepted = await self._commits.follow(
            self._store.take(push, unconcerned, self._most_waiting, self._clock.now_ms())
        )
        self._accepted[str(accepted)] += 1
        return accepted

    async def known(self, hidden_pushkey: str, event_ids: Collection[str]) -> set[str]:
        """Those of the events of which a push came for this pusher."""
        return await self._store.known(hidden_pushkey, event_ids)

    def is_rejected(self, hidden_pushkey: str) -> bool:
        """Whether the real gateway rejected this pushkey, which the homeserver is to be told at its next push."""
        return hidden_pushkey in self._commits.rejected

    async def acknowledge(self, user_id: str, device_id: str, event_ids: Collection[str]) -> None:
        """A direct device has these events: pushes for http pushers that wait for this device are dropped."""
        # A desktop that only says it is there has nothing to commit.
        if not event_ids:
            return
        unconcerned = [
            twin.hidden_pushkey
            for twin in self._pushers.twins_of(user_id)
            if device_id in self._devices_not_waited_for(twin)
        ]
        await self._commits.follow(
            self._store.acknowledge(user_id, device_id, tuple(event_ids), unconcerned, self._clock.now_ms())
        )

    async def cancel_events(self, user_id: str | None, room_id: str, event_ids: Collection[str], why: Why) -> None:
        """Takes back pushes of these events, only of that room. `user_id` None: for every user."""
        await self._commits.follow(
            self._store.cancel_events(user_id, room_id, tuple(event_ids), why, self._clock.now_ms())
        )

    async def cancel_read(self, user_id: str, room_id: str, mark: Mark, around: Around = NOTHING) -> None:
        """The user read up to this event. `around`: what stands around it, as far as that was asked for."""
        await self._commits.follow(self._store.cancel_read(user_id, room_id, mark, around, self._clock.now_ms()))

    async def is_unplaced(self, user_id: str, room_id: str, mark: Mark, around: Around = NOTHING) -> bool:
        """Whether a push waits of which nobody knows if this mark reads it."""
        return await self._store.is_unplaced(user_id, room_id, mark, around)

    async def cancel_room(self, user_id: str, room_id: str, why: Why) -> None:
        await self._commits.follow(self._store.cancel_room(user_id, room_id, why, self._clock.now_ms()))

    async def cancel_all(self, user_id: str, why: Why) -> None:
        """Takes back every push of the user that tells of an event."""
        await self._commits.follow(self._store.cancel_all(user_id, why, self._clock.now_ms()))

    async def has_waiting(self, hidden_pushkey: str) -> bool:
        return await self._store.has_waiting(hidden_pushkey)

    async def forget(self, hidden_pushkey: str) -> None:
        """Forgets a pusher that is gone, with its pushes and its gateway's rejection."""
        await self._commits.follow(self._store.forget(hidden_pushkey, self._clock.now_ms()))
        self._commits.rejected.discard(hidden_pushkey)

    async def counts(self) -> PushCounts:
        """The queue's figures, for /health and /metrics."""
        return PushCounts(
            waiting=await self._commits.count(),
            in_flight=self._dispatch.in_flight,
            attempts=self._dispatch.attempts,
            accepted=self._accepted,
            settled=self._commits.outcomes,
        )

    async def run(self) -> None:
        """Sends what is due, and forgets what is old, until cancelled. Raises StateError if the database is damaged."""
        with listed_in(self.tasks):
            await together((self._dispatch.run(), self._pruning.run()))

    def _devices_not_waited_for(self, twin: Twin) -> set[str]:
        """Devices whose acknowledgements do not matter to this http pusher."""
        # A device may have several direct pushers: one that is waited for is enough.
        direct = self._pushers.direct_of(twin.user_id)
        waited = {pusher.device_id for pusher in direct if pusher.is_waited_for_by(twin.app_id, twin.pushkey)}
        return {pusher.device_id for pusher in direct} - waited
