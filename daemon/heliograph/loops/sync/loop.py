"""The turns of one account's sync, and the waiting between them when something is wrong.

    /sync -> to-device events into crypto.db -> decrypted -> gaps filled -> room facts -> plan -> ledger -> /sync

Nothing is acknowledged that is not on disk, so a kill at any point loses nothing: the homeserver sends it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import Sync
from heliograph.core.ids import EventKey, RoomId
from heliograph.core.record import AccountState, Decision, Plan
from heliograph.core.status import AccountStatus, Connection
from heliograph.core.sync.situation import Mode
from heliograph.core.text.clean import count_things
from heliograph.errors import (
    AccountLocked,
    AnswerTooLarge,
    BadAnswer,
    Dropped,
    HeliographError,
    LoggedOut,
    Refused,
    ServerError,
    StorageError,
    UserError,
)
from heliograph.loops.sync.collecting import Collecting
from heliograph.loops.sync.keeping import Keeping
from heliograph.loops.sync.mode import ModeKeeper
from heliograph.loops.sync.narrowing import Narrowing
from heliograph.loops.sync.planner import SyncPlanner
from heliograph.loops.sync.rulebook import Rulebook
from heliograph.loops.sync.sign_out import SignOutCheck
from heliograph.loops.sync.starting import PATIENCE, Starter
from heliograph.loops.sync.surroundings import Surroundings, SyncSettings
from heliograph.loops.sync.trouble import Stale, SyncTrouble
from heliograph.loops.sync.waiting import Waiting
from heliograph.ports.encryption import Encryption
from heliograph.ports.homeserver import Homeserver, SyncRequest
from heliograph.ports.ledger import Ledger
from heliograph.system.tasks import going_on, keep_running

log = logging.getLogger(__name__)

TIMELINE_LIMIT = 20
IDLE_COMMIT_MS = 3_600_000
"""A token that moves without news is written this seldom: an idle night costs no disk writes."""
PRUNE_MS = 24 * 3_600_000
CATCH_UPS = 3
"""Syncs in a row that return at once; on a busy account there is always something new."""
DAY_MS = 24 * 3_600_000
REPORTED = 50
"""Events of one sync that get a line each in the log."""
HASTY_MS = 1000
"""An answer to a poll that comes sooner did not wait for news."""


class SyncLoop:
    """One account's loop. `run` ends when the account is signed out, or is cancelled."""

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        encryption: Encryption,
        status: AccountStatus,
        settings: SyncSettings,
        surroundings: Surroundings,
    ) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._status = status
        self._settings = settings
        self._world = surroundings
        self._rulebook = Rulebook(homeserver.user_id, status)
        self._mode = ModeKeeper(homeserver, status, surroundings.clock)
        self._planner = SyncPlanner(
            homeserver,
            ledger,
            encryption,
            self._rulebook,
            self._mode,
            clock=surroundings.clock,
            on_progress=surroundings.on_turn,
            on_trouble=surroundings.troubles.tell,
            privacy=settings.privacy,
        )
        self._keeping = Keeping(ledger, encryption, surroundings.troubles.tell)
        self._starter = Starter(homeserver, self._take_besides, self._rulebook, self._planner, surroundings.on_turn)
        self._account = AccountState()
        self._planning = asyncio.Lock()
        """Held from the first look at what a plan depends on until it is committed."""
        self._new_keys: set[RoomKey] | None = None
        """Room keys that came since the last commit. None: it cannot be told, since the last commit may be of another
        life, which was ended between the key's and its own."""
        self._open_rooms: frozenset[RoomId] | None = None
        """Rooms with open deliveries as the last commit left them; None: to be asked."""
        self._was_registered = (False, False)
        """Whether our pusher was known to be registered when the last sync was asked for, and the one before."""
        self._committed_at_ms = 0
        self._pruned_at_ms: int | None = None
        self._is_catching_up = True
        self._catch_ups = 0
        self._timeline_limit = TIMELINE_LIMIT
        self._narrowing = Narrowing()
        self._started_anew_at_ms: int | None = None
        self._nudged = asyncio.Event()
        self._trouble = SyncTrouble(
            homeserver.user_id.partition(":")[2], surroundings.troubles, _loop_time, surroundings.is_network_up
        )
        self._waiting = Waiting(self._nudged, surroundings.jitter, self._show_life)
        self._collecting = Collecting(self._hurry)
        self._sign_out = SignOutCheck(
            homeserver.whoami,
            self._waiting.sleep,
            self._trouble.note,
            jitter=surroundings.jitter,
            interval_s=settings.sign_out_interval_s,
        )
        self._poll: asyncio.Timeout | None = None
        """Of a poll that waits for news."""

    def take_pusher_switch(self, *, is_enabled: bool) -> None:
        """Our pusher was switched on or off by another client: holds from the next plan on."""
        self._account = replace(self._account, is_pusher_enabled=is_enabled)

    async def nudge(self, why: str) -> None:
        """The network came up or the machine woke: leave the back-off, drop sockets that may be dead, sync at once."""
        log.info("%s: asking %s again at once", why, self._homeserver.user_id)
        self._nudged.set()
        await self._homeserver.drop_connections()

    async def unlock(self, keys: Collection[RoomKey]) -> None:
        """These room keys came from elsewhere than a sync: what waits for them says now what was written."""
        if self._new_keys is not None:
            self._new_keys.update(keys)
        if self._account.next_batch is None:
            return
        try:
            async with self._planning:
                await self._plan_and_commit(Sync(self._account.next_batch), is_listing=False)
        except (ServerError, StorageError) as trouble:
            came = count_things(len(keys), "room key opens", "room keys open")
            log.warning("What %s is shown with the next sync: %s", came, trouble)

    async def collect(self) -> bool:
        """Ends a poll that waits, and syncs until nothing new comes: what was on the server when this was called is in
        the ledger, and acknowledged. Whether that worked."""
        return await self._collecting.wait()

    async def run(self) -> LoggedOut:
        """Returns when the access token is no longer good, which was confirmed, and only then. Raises UserError if the
        ledger is damaged."""
        try:
            return await keep_running(
                "sync", self._run, ends_with=(UserError,), clock=self._world.clock, jitter=self._world.jitter
            )
        finally:
            self._collecting.refuse()

    async def _run(self) -> LoggedOut:
        is_loaded = False
        self._trouble.begin()
        while True:
            try:
                if not is_loaded:
                    await self._load()
                    is_loaded = True
                await self._turn()
            except LoggedOut as gone:
                confirmed = await self._check_sign_out(gone)
                if confirmed is not None:
                    return confirmed
            except (ServerError, StorageError) as trouble:
                await self._wait_out(trouble)
            except UserError:
                # The ledger is damaged: trying again does not mend it.
                raise
            except Exception as fault:
                # A fault of our own must neither end the daemon nor spin. Nothing was acknowledged: nothing is lost.
                log.exception("Unexpected fault in the sync loop")
                await self._wait_out(fault)
            self._world.on_turn()

    async def _load(self) -> None:
        self._account = await self._ledger.account()
        self._status.is_silenced = self._account.is_silenced
        self._status.is_pusher_enabled = self._account.is_pusher_enabled
        self._rulebook.remember(self._account)

    # Turns

    async def _turn(self) -> None:
        await self._mode.refresh()
        if self._account.next_batch is None:
            async with self._planning:
                await self._commit(await self._starter.start(self._waiting.failures))
        self._was_registered = (self._status.is_listing, self._was_registered[0])
        waiters = self._collecting.waiters
        request = await self._request(is_hurried=bool(waiters))
        asked_ms = self._world.clock()
        try:
            sync = await self._narrowing.ask(self._ask, request)
        except AnswerTooLarge:
            await self._shrink()
            return
        except Refused as refusal:
            await self._start_anew(refusal)
            return
        if sync is None:
            return
        self._trouble.note_answer()
        took_ms = abs(self._world.clock() - asked_ms)
        is_news = await self._take(sync)
        self._note_caught_up(request, sync)
        self._timeline_limit = TIMELINE_LIMIT
        self._nudged.clear()
        self._note_connection()
        # As with catching up: only an answer with nothing new comes from no cache, and leaves nothing unacknowledged.
        self._collecting.grant(waiters, has_more=sync.next_batch != request.since)
        await self._prune()
        if request.timeout_ms:
            has_moved = sync.next_batch != request.since
            await self._note_poll(is_hasty=took_ms < HASTY_MS, is_news=is_news and has_moved, has_moved=has_moved)

    async def _note_poll(self, *, is_hasty: bool, is_news: bool, has_moved: bool) -> None:
        if has_moved or not is_hasty:
            self._trouble.note_poll()
        else:
            # A homeserver waits for news. The cache of a proxy may answer the same for ever.
            self._trouble.note(Stale("each answer comes at once, with nothing new"))
        if is_hasty and not is_news:
            await self._waiting.pause()
        else:
            self._waiting.note_poll()

    async def _ask(self, request: SyncRequest) -> Sync | None:
        """None: somebody would rather collect at once what there is than wait for more."""
        if not request.timeout_ms:
            return await self._homeserver.sync(request)
        if self._collecting.waiters:
            return None
        try:
            async with asyncio.timeout(None) as self._poll:
                return await self._homeserver.sync(request)
        except TimeoutError:
            return None
        finally:
            self._poll = None

    def _hurry(self) -> None:
        """Ends a wait, and a poll that waits for news."""
        self._nudged.set()
        if self._poll is not None:
            self._poll.reschedule(_loop_time())

    async def _request(self, *, is_hurried: bool) -> SyncRequest:
        """Catching up returns at once and wants every room's receipts: what was read meanwhile must not ring."""
        catching_up = self._is_catching_up
        names_none = self._narrowing.is_refused
        return SyncRequest(
            since=self._account.next_batch,
            timeout_ms=0 if catching_up or is_hurried else self._settings.poll_s * 1000,
            receipts_in=None if catching_up or names_none else await self._read_open_rooms(),
            event_types=None if names_none else self._rulebook.event_types,
            timeline_limit=self._timeline_limit,
        )

    async def _read_open_rooms(self) -> frozenset[RoomId]:
        """Right after a commit they are known; by the next poll the user may have closed some."""
        known, self._open_rooms = self._open_rooms, None
        return await self._ledger.rooms_with_open_deliveries() if known is None else known

    async def _take(self, sync: Sync) -> bool:
        """Whether it brought anything."""
        await self._take_besides(sync)
        async with self._planning:
            sync = self._rulebook.check(sync)
            decided = await self._plan_and_commit(
                sync, is_listing=all((*self._was_registered, self._status.is_listing))
            )
        return bool(sync.to_device) or not decided.is_empty

    async def _take_besides(self, sync: Sync) -> None:
        """To-device events are on disk before anything else of the sync is."""
        if sync.to_device:
            taken = await self._keeping.take(sync.to_device)
            if self._new_keys is not None:
                self._new_keys.update(taken.new_keys)
            if taken.outcomes:
                with going_on("what came for this device alone"):
                    self._world.on_received(taken.outcomes)
        with going_on("how many keys the homeserver has"):
            self._world.on_key_counts(sync.one_time_keys, sync.has_unused_fallback_key)
        if sync.has_changed_devices:
            with going_on("the own devices that changed"):
                self._world.on_changed_devices()

    async def _plan_and_commit(self, sync: Sync, *, is_listing: bool) -> Plan:
        new_keys = None if self._new_keys is None else frozenset(self._new_keys)
        decided = await self._planner.plan(sync, self._account, is_listing=is_listing, new_keys=new_keys)
        await self._commit(decided)
        if new_keys is None or self._new_keys is None:
            self._new_keys = set()
        else:
            self._new_keys -= new_keys
        if decided.locked:
            self._world.on_locked(frozenset(each.key for each in decided.locked))
        return decided

    async def _commit(self, decided: Plan) -> None:
        now = self._world.clock()
        if decided.is_empty and abs(now - self._committed_at_ms) < IDLE_COMMIT_MS:
            self._account = replace(self._account, next_batch=decided.next_batch)
            self._status.last_sync_ms = now
            return
        decided, committed = await self._keeping.commit(decided, now)
        self._trouble.note_written()
        self._open_rooms = committed.open_rooms
        self._committed_at_ms = now
        self._account = _after(self._account, decided, now)
        self._status.last_sync_ms = now
        self._status.is_silenced = self._account.is_silenced
        _report(decided)
        if committed.new or decided.changes or decided.rejudged:
            if self._is_catching_up:
                self._world.on_catching_up(True)
            self._world.on_news()
        if silent := _silent(decided):
            self._world.on_silent(silent)

    # A sync that cannot be had

    async def _start_anew(self, refusal: Refused) -> None:
        """For a token that the homeserver no longer knows; once a day, since another fault would make it endless."""
        now = self._world.clock()
        is_again = self._started_anew_at_ms is not None and abs(now - self._started_anew_at_ms) < DAY_MS
        if refusal.status != 400 or is_again:
            raise refusal
        log.warning("The homeserver refuses the sync token (%s): starting anew", refusal)
        async with self._planning:
            await self._commit(await self._starter.start_anew(self._account, self._waiting.failures))
        self._started_anew_at_ms = now

    async def _shrink(self) -> None:
        """An answer over the limit: ask for less of each room, and if that does not help for none."""
        if self._timeline_limit > 1:
            log.warning("The sync is too large: asking for one event of each room")
            self._timeline_limit = 1
        else:
            await self._start_anew(Refused(400, "", "the answer stays too large"))

    # Waiting

    async def _check_sign_out(self, gone: LoggedOut) -> LoggedOut | None:
        """None: the device is still signed in, and it goes on."""
        user_id = self._homeserver.user_id
        self._note_offline(f"checking whether {user_id} was signed out")
        confirmed = await self._sign_out.confirm(gone)
        if confirmed is None:
            await self._wait_out(BadAnswer(200, f"took {user_id} for signed out, and knows its access token"))
        else:
            self._status.connection, self._status.why = Connection.SIGNED_OUT, str(confirmed)
        return confirmed

    async def _wait_out(self, trouble: Exception) -> None:
        self._waiting.failures += 1
        why = str(trouble) if isinstance(trouble, HeliographError) else "an unexpected fault, see the log"
        self._note_offline(why, logging.INFO if isinstance(trouble, Dropped) else logging.WARNING)
        if self._waiting.failures >= PATIENCE or self._mode.mode is Mode.DIRECT:
            # It may come back as another: one that no longer says what rings would leave us silent.
            self._mode.doubt()
        if isinstance(trouble, StorageError):
            # Also what would not be worth a write is written next: that shows whether the disk takes it again.
            self._committed_at_ms = 0
        self._trouble.note(trouble)
        # Whoever is locked out is back within a poll after the lock ends.
        longest_s = float(self._settings.poll_s) if isinstance(trouble, AccountLocked) else None
        await self._waiting.back_off(self._waiting.delay_after(trouble, longest_s))

    def _note_offline(self, why: str, level: int = logging.WARNING) -> None:
        self._collecting.refuse()
        if self._status.connection is not Connection.OFFLINE or self._status.why != why:
            log.log(level, "%s: %s", self._homeserver.user_id, why)
        self._status.connection, self._status.why = Connection.OFFLINE, why
        self._status.connected_since_ms = None
        self._is_catching_up = True

    def _show_life(self) -> None:
        self._world.on_turn()
        self._trouble.look()

    def _note_caught_up(self, request: SyncRequest, sync: Sync) -> None:
        """A homeserver may answer from a cache, as it would have some minutes ago: until there is nothing new."""
        self._catch_ups = self._catch_ups + 1 if self._is_catching_up else 0
        is_at_the_end = sync.next_batch == request.since or self._catch_ups >= CATCH_UPS
        if self._is_catching_up and is_at_the_end:
            self._is_catching_up = False
            self._world.on_catching_up(False)

    def _note_connection(self) -> None:
        if self._status.connection is Connection.CONNECTED:
            return
        self._status.connection, self._status.why = Connection.CONNECTED, ""
        self._status.connected_since_ms = self._world.clock()
        log.info(
            "%s is connected to %s, mode %s: %s",
            self._homeserver.user_id,
            self._status.homeserver,
            self._mode.mode.value,
            self._status.mode_reason,
        )

    async def _prune(self) -> None:
        now = self._world.clock()
        if self._pruned_at_ms is None or abs(now - self._pruned_at_ms) > PRUNE_MS:
            self._pruned_at_ms = now
            await self._ledger.prune(now - self._settings.history_days * DAY_MS)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _after(account: AccountState, decided: Plan, now: int) -> AccountState:
    """The account once the plan is committed, as the ledger would give it."""
    return replace(account.after(decided.account_data), next_batch=decided.next_batch, last_sync_ms=now)


def _silent(decided: Plan) -> list[EventKey]:
    judged = (*decided.judged, *decided.rejudged)
    return [each.event_id for each in judged if each.decision is Decision.SILENT and each.rule is not None]


def _report(decided: Plan) -> None:
    for judged in decided.judged[:REPORTED]:
        level = logging.DEBUG if judged.decision is Decision.SILENT else logging.INFO
        log.log(level, "%s in %s: %s (%s)", judged.event_id, judged.room_id, judged.decision.value, judged.reason)
    if len(decided.judged) > REPORTED:
        log.info("%s judged, of which ring: %d", count_things(len(decided.judged), "event"), len(decided.deliveries))
