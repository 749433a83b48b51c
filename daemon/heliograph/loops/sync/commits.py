"""From a sync to the ledger: to-device events first, then the plan, committed in one transaction.

A sync's token, judgements, deliveries and room facts are one transaction: a token saved earlier would lose events, a
token saved later repeats them. crypto.db commits before the ledger, and the ledger before the next /sync.
Tests: test_only_what_is_committed_is_acknowledged, and whole lives with kills in tests/system/lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from heliograph.core.encryption.values import Received, Rejected, RoomKey
from heliograph.core.events import Sync
from heliograph.core.ids import EventKey, RoomId
from heliograph.core.record import AccountState, Decision, Plan
from heliograph.core.text.clean import count_things
from heliograph.errors import ServerError, StorageError
from heliograph.loops.sync.catching_up import CatchingUp
from heliograph.loops.sync.keeping import Keeping
from heliograph.loops.sync.listener import Commit, SyncListener, ToDevice
from heliograph.loops.sync.planner import SyncPlanner
from heliograph.loops.sync.rulebook import Rulebook
from heliograph.ports.ledger import Committed, Ledger
from heliograph.system.tasks import going_on

log = logging.getLogger(__name__)

IDLE_COMMIT_MS = 3_600_000
"""A token that moves without news is written this seldom: an idle night costs no disk writes."""
REPORTED = 50
"""Events of one sync that get a line each in the log."""


class Commits:
    """Takes what syncs brought, one after another, and knows the account's state as the ledger has it.

    `clock` gives milliseconds since 1970. `on_written` is called when the disk has taken something.
    """

    def __init__(
        self,
        ledger: Ledger,
        planner: SyncPlanner,
        rulebook: Rulebook,
        keeping: Keeping,
        catching_up: CatchingUp,
        listener: SyncListener,
        *,
        clock: Callable[[], int],
        on_written: Callable[[], None],
    ) -> None:
        self.account = AccountState()
        """The account as the ledger has it, but for a token that moved without news."""
        self.last_sync_ms: int | None = None
        """When a sync was last committed, in milliseconds since 1970. None: not since the start."""
        self._ledger = ledger
        self._planner = planner
        self._rulebook = rulebook
        self._keeping = keeping
        self._catching_up = catching_up
        self._listener = listener
        self._clock = clock
        self._on_written = on_written
        self._planning = asyncio.Lock()
        """Held from the first look at what a plan depends on until the plan is committed."""
        self._new_keys: set[RoomKey] | None = None
        """Room keys that came since the last commit. None after a start: the previous process may have stored keys and
        died before it committed the ledger, so every stored key counts as new."""
        self._open_rooms: frozenset[RoomId] | None = None
        """Rooms with open deliveries, as the last commit left them. None: ask the ledger, since the user may have
        closed some since."""
        self._written_at_ms = 0

    async def load(self) -> None:
        """Reads the account's state. Raises StorageError, and UserError if the ledger is damaged."""
        self.account = await self._ledger.account()
        self._rulebook.remember(self.account)

    async def take(self, sync: Sync, *, is_listing: bool) -> bool:
        """Plans and commits a sync. Returns True if it brought anything. Raises ServerError and StorageError.

        `is_listing`: the homeserver has had reason to list what rings in this sync.
        """
        await self.take_to_device(sync)
        async with self._planning:
            sync = self._rulebook.check(sync)
            plan = await self._plan_and_commit(sync, is_listing=is_listing)
        return bool(sync.to_device) or not plan.is_empty

    async def take_to_device(self, sync: Sync) -> None:
        """Takes what a sync brought for this device alone. Raises StorageError.

        On disk before anything else of the sync is: events of the same sync may need the keys among it.
        """
        outcomes: tuple[Received | Rejected, ...] = ()
        if sync.to_device:
            taken = await self._keeping.take(sync.to_device)
            outcomes = taken.outcomes
            if self._new_keys is not None:
                self._new_keys.update(taken.new_keys)
        # A fault in verification or trust must not keep messages from ringing.
        with going_on("what came for this device alone"):
            self._listener.to_device(
                ToDevice(outcomes, sync.one_time_keys, sync.has_unused_fallback_key, sync.has_changed_devices)
            )

    async def unlock(self, keys: Collection[RoomKey]) -> None:
        """Takes room keys that came from elsewhere than a sync: events that waited for them are judged again now."""
        if self.account.next_batch is None:
            return
        try:
            async with self._planning:
                # Noted under the lock: a plan under way may have looked for its keys already, and ends by forgetting
                # those that it knew.
                if self._new_keys is not None:
                    self._new_keys.update(keys)
                await self._plan_and_commit(Sync(self.account.next_batch), is_listing=False)
        except (ServerError, StorageError) as trouble:
            came = count_things(len(keys), "room key opens", "room keys open")
            log.warning("What %s is shown with the next sync: %s", came, trouble)

    async def commit(self, make: Callable[[], Awaitable[Plan]]) -> None:
        """Commits the plan that `make` makes; nothing else is planned meanwhile. Raises StorageError, and what `make`
        raises."""
        async with self._planning:
            await self._commit(await make())

    @property
    def open_rooms(self) -> frozenset[RoomId]:
        """Rooms with open deliveries as the last commit left them; none if nothing was committed since they were
        read."""
        return self._open_rooms or frozenset()

    async def read_open_rooms(self) -> frozenset[RoomId]:
        """Rooms with open deliveries. Raises StorageError.

        Right after a commit they are known; by the next request the user may have closed some.
        """
        known, self._open_rooms = self._open_rooms, None
        return await self._ledger.rooms_with_open_deliveries() if known is None else known

    def write_next(self) -> None:
        """Writes the next sync even if it brings no news: that shows whether the disk takes it again."""
        self._written_at_ms = 0

    def take_pusher_switch(self, *, is_enabled: bool) -> None:
        """Another client switched our pusher on or off: this holds from the next plan on."""
        self.account = replace(self.account, is_pusher_enabled=is_enabled)

    async def _plan_and_commit(self, sync: Sync, *, is_listing: bool) -> Plan:
        new_keys = None if self._new_keys is None else frozenset(self._new_keys)
        plan = await self._planner.plan(sync, self.account, is_listing=is_listing, new_keys=new_keys)
        await self._commit(plan)
        if new_keys is None or self._new_keys is None:
            self._new_keys = set()
        else:
            # Others may have come meanwhile.
            self._new_keys -= new_keys
        return plan

    async def _commit(self, plan: Plan) -> None:
        now = self._clock()
        # The token lives in memory alone then: after a kill the
        # same idle hour is asked for once more, and brings nothing.
        if plan.is_empty and abs(now - self._written_at_ms) < IDLE_COMMIT_MS:
            self.account = replace(self.account, next_batch=plan.next_batch)
            self.last_sync_ms = now
            return
        plan, committed = await self._keeping.commit(plan, now)
        self._on_written()
        self._open_rooms = committed.open_rooms
        self._written_at_ms = now
        # Only after the commit: the next request takes its token from here, and that token acknowledges.
        self.account = replace(
            self.account.after(plan.account_data),
            next_batch=plan.next_batch,
            last_sync_ms=now,
            has_counted=self.account.has_counted or plan.has_counted,
        )
        self.last_sync_ms = now
        _report(plan)
        self._listener.committed(self._describe(plan, committed))

    def _describe(self, plan: Plan, committed: Committed) -> Commit:
        return Commit(
            has_news=bool(committed.new or plan.changes or plan.rejudged),
            is_catching_up=self._catching_up.is_on,
            silent=_silent(plan),
            wanted_keys=frozenset(each.key for each in plan.locked),
        )


def _silent(plan: Plan) -> tuple[EventKey, ...]:
    judged = (*plan.judged, *plan.rejudged)
    return tuple(each.event_id for each in judged if each.decision is Decision.SILENT and each.rule is not None)


def _report(plan: Plan) -> None:
    for judged in plan.judged[:REPORTED]:
        level = logging.DEBUG if judged.decision is Decision.SILENT else logging.INFO
        log.log(level, "%s in %s: %s (%s)", judged.event_id, judged.room_id, judged.decision.value, judged.reason)
    if len(plan.judged) > REPORTED:
        log.info("%s judged, of which ring: %d", count_things(len(plan.judged), "event"), len(plan.deliveries))
