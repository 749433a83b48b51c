"""Makes the plan of a sync: gathers all that the pure `core.sync.plan` depends on, and calls it.

In direct mode the homeserver's list decides what rings, as long as that list can be trusted; in local mode the push
rules do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import ServerNotification, Sync
from heliograph.core.ids import RoomId
from heliograph.core.popups.privacy import Privacy
from heliograph.core.record import AccountState, Plan, RoomRecord
from heliograph.core.sync.gaps import gaps_in, is_list_wanted
from heliograph.core.sync.joining import is_joined
from heliograph.core.sync.needs import (
    marked_events,
    missing_names,
    own_member_events,
    rooms_changing_deliveries,
    rooms_wanting_facts,
    senders,
    touched_rooms,
    unnamed_threads,
)
from heliograph.core.sync.plan import is_disputed, plan
from heliograph.core.sync.situation import Mode, Situation
from heliograph.core.sync.threads import inherit, untold_parents
from heliograph.errors import HeliographError
from heliograph.loops.sync.decryption import Decrypter, Opened
from heliograph.loops.sync.gaps import GapFiller, GapNotices
from heliograph.loops.sync.gathering import FactGatherer, merge_facts
from heliograph.loops.sync.mode import ModeKeeper
from heliograph.loops.sync.notification_list import NotificationList
from heliograph.loops.sync.order import OrderFinder
from heliograph.loops.sync.rulebook import Rulebook
from heliograph.loops.sync.salvage import given_up, only_room, rooms_of, without_faulty_events, without_rooms
from heliograph.loops.sync.thread_membership import ThreadMembership
from heliograph.loops.sync.thread_subscriptions import ThreadSubscriptions
from heliograph.loops.sync.threads import ThreadNames
from heliograph.ports.encryption import Encryption
from heliograph.ports.homeserver import Homeserver
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)

Planning = Callable[[Opened], Awaitable[Plan]]
"""Plans a sync, and asks the ledger and the homeserver for whatever that takes."""

LARGE_BODY = 64 * 1024
"""Bytes. A larger sync is planned in a thread, so that the desktop and the other accounts go on meanwhile."""
LARGE_COUNT = 100
"""Events. More are planned in a thread, too."""


class SyncPlanner:
    """Plans the syncs of one account."""

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        encryption: Encryption,
        rulebook: Rulebook,
        mode: ModeKeeper,
        *,
        clock: Callable[[], int],
        on_progress: Callable[[], None],
        on_trouble: Callable[[str, str], None],
        privacy: Privacy,
    ) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._rulebook = rulebook
        self._mode = mode
        self._on_trouble = on_trouble
        self._list = NotificationList(homeserver, ledger, on_progress)
        self._gaps = GapFiller(homeserver, ledger, self._list, on_progress)
        self._gap_notices = GapNotices(on_trouble)
        self._gatherer = FactGatherer(homeserver, on_progress)
        self._decrypter = Decrypter(encryption, on_progress)
        self._threads = ThreadNames(homeserver, self._decrypter)
        self._membership = ThreadMembership(homeserver, ledger)
        self._order = OrderFinder(homeserver, ledger, on_progress)
        self._subscriptions = ThreadSubscriptions(homeserver, mode, clock)
        self._clock = clock
        self._privacy = privacy

    async def plan(
        self, sync: Sync, account: AccountState, *, is_listing: bool, new_keys: Collection[RoomKey] | None = ()
    ) -> Plan:
        """The plan of all that this sync changes. Raises ServerError and StorageError.

        `is_listing`: our pusher was registered early enough for the server to list all that rings in this sync.
        `new_keys`: room keys that came since the last plan; None: every stored key may be new.
        """
        self._gatherer.forget(sync.left)
        # First, since the rules judge what was written, and the needs of a plan depend on it.
        opened = await self._decrypter.open(Opened(sync))
        if new_keys is None or new_keys:
            opened = await self._decrypter.open_late(opened, await self._ledger.locked_events(new_keys))
        return await self._plan_soundly(opened, account, partial(self._plan, account=account, is_listing=is_listing))

    async def plan_missed(self, sync: Sync, missed: tuple[ServerNotification, ...], account: AccountState) -> Plan:
        """The plan of a sync that starts anew, and of what the server lists as missed. Raises ServerError and
        StorageError."""
        opened = await self._decrypter.open(Opened(sync, missed))
        return await self._plan_soundly(opened, account, partial(self._plan_as_listed, account=account))

    async def _plan_as_listed(self, opened: Opened, account: AccountState) -> Plan:
        return await self._decide(opened.sync, await self._gather(opened, account, self._mode.mode))

    async def _plan_soundly(self, opened: Opened, account: AccountState, plan: Planning) -> Plan:
        """What `plan` makes of the sync.

        If that fails by a fault of ours, it is tried without the events that fail alone; then without the rooms that
        fail alone; then without any room. What is left out is recorded as malformed, and the user is told.
        """
        salvages = (
            partial(self._without_faulty_events, account=account),
            partial(self._without_faulty_rooms, plan=plan),
            _without_any_room,
        )
        for salvage in salvages:
            try:
                return self._tell_given_up(await plan(opened))
            except HeliographError:
                raise
            except Exception:
                log.exception("Unexpected fault in judging a sync: it is judged again without what cannot be")
            opened = await salvage(opened)
        return self._tell_given_up(await plan(opened))

    def _tell_given_up(self, decided: Plan) -> Plan:
        if lost := given_up(decided):
            self._on_trouble(
                "A message could not be judged" if len(lost) == 1 else f"{len(lost)} messages could not be judged",
                "Heliograph has a fault. Look into your Matrix client, and for the reason at: heliograph explain "
                f"{lost[-1]}",
            )
        return decided

    async def _without_faulty_events(self, opened: Opened, account: AccountState) -> Opened:
        situation = Situation(self._homeserver.user_id, self._mode.mode, account, self._rulebook.ruleset)
        return await asyncio.to_thread(without_faulty_events, opened, situation)

    async def _without_faulty_rooms(self, opened: Opened, plan: Planning) -> Opened:
        """Plans each room alone, with the requests that this takes: the fault may lie in their answers."""
        faulty: set[str] = set()
        for room_id in rooms_of(opened):
            try:
                await plan(only_room(opened, room_id))
            except HeliographError:
                raise
            except Exception:
                log.exception("Unexpected fault in judging what came in %s", room_id)
                faulty.add(room_id)
        return without_rooms(opened, faulty)

    async def list_missed(self, account: AccountState) -> tuple[ServerNotification, ...] | None:
        """All notifications since the last event that we know (`NotificationList.missed`)."""
        return await self._list.missed(account)

    async def _plan(self, opened: Opened, account: AccountState, *, is_listing: bool) -> Plan:
        sync = opened.sync
        # Most syncs are so: a token that moved, or account data. They cost no look into the ledger.
        is_ignoring = bool(sync.account_data.ignored_users)
        if not touched_rooms(sync, (), opened.late) and not sync.malformed and not is_ignoring:
            return Plan(sync.next_batch, account_data=sync.account_data, unlocked=opened.hopeless)
        # Nothing is listed that came while our pusher was off. Then a gap hides what our rules would miss in the list,
        # and rules that have changed miss nothing in it.
        # Tests: test_what_came_in_a_gap_while_nothing_was_listed_rings, test_what_came_before_its_room_was_muted_rings.
        has_gaps, data = bool(gaps_in(sync, self._homeserver.user_id)), sync.account_data
        has_changed = data.push_rules is not None or data.ignored_users is not None
        if self._mode.mode is Mode.DIRECT and (is_listing or not (has_gaps or has_changed)):
            decided = await self._plan_by_list(opened, account, is_listing=is_listing)
            if decided is not None:
                return decided
        # BOTH: of a sync whose list cannot be trusted, what it does list still rings.
        mode = Mode.BOTH if self._mode.mode is Mode.DIRECT else Mode.LOCAL
        opened, situation = await self._fill(opened, account, mode, is_listed=False)
        return await self._decide(opened.sync, situation)

    async def _plan_by_list(self, opened: Opened, account: AccountState, *, is_listing: bool) -> Plan | None:
        """The plan by the server's list.

        None if the list omits an event our rules would ring for, and cannot be trusted for this sync.

        A proxy that offered direct push may be gone between two requests without a connection being cut, so the server
        is asked once more whether it offers that. And nothing is listed that came before our pusher was registered
        (`mode.ListingHistory`). If the list is trusted, what it omits is silent; what it lists late rings after all.
        Test: test_a_homeserver_that_no_longer_says_what_rings_does_not_leave_us_silent.
        """
        opened, situation = await self._fill(opened, account, Mode.DIRECT, is_listed=True)
        sync = opened.sync
        decided = await self._decide(sync, situation)
        if not is_disputed(decided, await _decide(sync, replace(situation, mode=Mode.LOCAL))):
            return decided
        self._mode.doubt()
        await self._mode.refresh()
        return decided if self._mode.mode is Mode.DIRECT and is_listing else None

    async def _fill(
        self, opened: Opened, account: AccountState, mode: Mode, *, is_listed: bool
    ) -> tuple[Opened, Situation]:
        """The sync with its gaps filled, as far as they can be, and what is known then."""
        situation = await self._gather(opened, account, mode)
        gaps = {room.room_id for room in gaps_in(opened.sync, situation.me, situation.joined)}
        if not gaps and not is_list_wanted(opened.sync, situation):
            return opened, situation
        filled = await self._gaps.fill(opened.sync, situation, self._rulebook.event_types, is_listed=is_listed)
        # Once more: what the gaps brought may be encrypted, too.
        opened = await self._decrypter.open(replace(opened, sync=filled.sync, filled=filled.items))
        told = {room_id: situation.rooms[room_id] for room_id in situation.fresh_rooms}
        situation = await self._gather(opened, account, mode, told)
        situation = replace(situation, listed=filled.listed, is_list_whole=filled.is_list_whole)
        self._gap_notices.note((room for room in opened.sync.joined if room.room_id in gaps), situation)
        return opened, situation

    async def _gather(
        self,
        opened: Opened,
        account: AccountState,
        mode: Mode,
        told: Mapping[RoomId, RoomRecord] = MappingProxyType({}),
    ) -> Situation:
        """All that the plan depends on. `told`: what the homeserver has told of rooms just now."""
        sync, filled, late = opened.sync, opened.filled, opened.late
        touched = touched_rooms(sync, filled, late)
        rooms = await self._ledger.rooms(touched, senders(sync, filled, late))
        # Before what was told just now, which says nothing of how it was when these events came.
        joined = frozenset(room_id for room_id, record in rooms.items() if is_joined(record))
        rooms.update({room_id: merge_facts(rooms.get(room_id), record.facts) for room_id, record in told.items()})
        me = self._homeserver.user_id
        changing = rooms_changing_deliveries(sync, me, rooms, late)
        if sync.account_data.ignored_users:
            # Whoever is ignored may have written in any room.
            changing |= await self._ledger.rooms_open_by(sync.account_data.ignored_users)
        open_deliveries = await self._ledger.open_deliveries(changing) if changing else []
        waiting = await self._ledger.locked_in(changing) if changing else []
        ordered = marked_events(sync, me).union(
            own_member_events(sync, me),
            (each.event_id for each in open_deliveries),
            (each.event_id for each in waiting),
        )
        situation = Situation(
            me=me,
            mode=mode,
            account=account,
            ruleset=self._rulebook.ruleset,
            earlier_ruleset=self._rulebook.before(sync, account),
            rooms=rooms,
            fresh_rooms=frozenset(told),
            joined=joined,
            open_deliveries=open_deliveries,
            places=await self._ledger.places(ordered) if ordered else {},
            filled=filled,
            clear=opened.clear,
            locked=opened.locked,
            late=late,
            hopeless=opened.hopeless,
            waiting=waiting,
            now_ms=self._clock(),
            privacy=self._privacy,
        )
        if wanted := rooms_wanting_facts(sync, situation):
            told = await self._gatherer.ask_rooms(wanted, situation.rooms)
            situation = _with_rooms(situation, told)
        return replace(situation, subscriptions=await self._subscriptions.ask(sync, situation))

    async def _decide(self, sync: Sync, situation: Situation) -> Plan:
        known = await self._membership.known(sync, situation)
        sync, situation = inherit(sync, situation, known)
        decided, situation = await self._order.plan(sync, situation, self._rulebook.event_types, _decide)
        if untold := untold_parents(sync, situation, known, decided):
            sync, situation = inherit(sync, situation, known | await self._membership.ask(untold))
            decided, situation = await self._order.plan(sync, situation, self._rulebook.event_types, _decide)
        # Names only of those whose events ring, which the first plan tells; then it is made again with the names.
        if missing := missing_names(decided, situation.rooms):
            situation = _with_rooms(situation, await self._gatherer.ask_names(missing, situation.rooms))
            decided = await _decide(sync, situation)
        if unnamed := unnamed_threads(decided):
            threads = await self._threads.ask(unnamed, situation.account.ignored_users)
            if any(threads.values()):
                decided = await _decide(sync, replace(situation, threads=threads))
        return decided


async def _without_any_room(opened: Opened) -> Opened:
    return without_rooms(opened, rooms_of(opened))


def _with_rooms(situation: Situation, told: Mapping[RoomId, RoomRecord]) -> Situation:
    return replace(
        situation,
        rooms={**situation.rooms, **told},
        fresh_rooms=situation.fresh_rooms.union(told),
    )


async def _decide(sync: Sync, situation: Situation) -> Plan:
    count = sum(len(room.timeline) for room in sync.joined)
    count += len(sync.notifications) + len(situation.filled) + len(situation.late)
    if sync.size < LARGE_BODY and count < LARGE_COUNT:
        return plan(sync, situation)
    return await asyncio.to_thread(plan, sync, situation)
