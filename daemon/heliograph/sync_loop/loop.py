"""The turns of one account's sync, and the waiting between them when something is wrong.

    /sync -> to-device events into crypto.db -> decrypted -> gaps filled -> room facts -> plan -> ledger -> /sync

Nothing is acknowledged that is not on disk, so a kill at any point loses nothing: the homeserver sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from heliograph.core.backoff import reconnect_delay
from heliograph.core.encryption import Received, Rejected, RoomKey
from heliograph.core.events import AccountData, Sync
from heliograph.core.privacy import SHOW_ALL, Privacy
from heliograph.core.record import AccountState, Decision, Plan
from heliograph.core.situation import Mode
from heliograph.errors import (
    AnswerTooLarge,
    HeliographError,
    LoggedOut,
    RateLimited,
    Refused,
    ServerError,
    StorageError,
    Unreachable,
    UserError,
)
from heliograph.ports import Encryption, Homeserver, Ledger, SyncRequest, Troubles
from heliograph.status import AccountStatus, Connection
from heliograph.sync_loop.mode import ModeKeeper
from heliograph.sync_loop.narrowing import Narrowing
from heliograph.sync_loop.planner import SyncPlanner
from heliograph.sync_loop.rulebook import Rulebook
from heliograph.sync_loop.starting import PATIENCE, Starter
from heliograph.tasks import keep_running

log = logging.getLogger(__name__)

TIMELINE_LIMIT = 20
IDLE_COMMIT_MS = 3_600_000
"""A token that moves without news is written this seldom: an idle night costs no disk writes."""
PRUNE_MS = 24 * 3_600_000
CATCH_UPS = 3
"""Syncs in a row that return at once; on a busy account there is always something new."""
DAY_MS = 24 * 3_600_000
BEAT_S = 60.0
REPORTED = 50
"""Events of one sync that get a line each in the log."""
HASTY_MS = 1000
HASTY_ALLOWED = 3
LONGEST_PAUSE_S = 5.0
COLLECT_ROUNDS = 5
"""Syncs for one `collect`, where something new comes all the time."""


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What the configuration says of the loop."""

    poll_s: int = 50
    history_days: int = 7
    privacy: Privacy = SHOW_ALL


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop takes from the world besides its ports, and whom it tells."""

    clock: Callable[[], int]
    """Milliseconds since 1970."""
    jitter: Callable[[], float]
    """Numbers in [0, 1)."""
    on_news: Callable[[], None]
    """Deliveries changed."""
    on_turn: Callable[[], None]
    """The loop is alive."""
    troubles: Troubles
    on_received: Callable[[Sequence[Received | Rejected]], None] = _ignore
    """To-device events that are not about room keys, in their order."""
    on_key_counts: Callable[[int | None, bool | None], None] = _ignore
    """As in Sync: one-time keys at the server, and whether the fallback key is unused."""
    on_changed_devices: Callable[[], None] = _ignore
    """The user's own devices or identity changed."""
    on_catching_up: Callable[[bool], None] = _ignore
    """After an absence something came, and more is expected; or all of it is there."""
    on_silent: Callable[[Sequence[str]], None] = _ignore
    """Ids of committed events that a push rule keeps silent here, whatever the homeserver made of them."""
    on_locked: Callable[[frozenset[RoomKey]], None] = _ignore
    """Room keys that committed events want."""


@dataclass(slots=True, eq=False)
class _Wish:
    """Somebody waits in `collect`."""

    granted: asyncio.Future[bool]
    rounds: int = 0


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
        self._encryption = encryption
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
        self._starter = Starter(homeserver, self._take_besides, self._rulebook, self._planner, surroundings.on_turn)
        self._account = AccountState()
        self._planning = asyncio.Lock()
        """Held from the first look at what a plan depends on until it is committed."""
        self._new_keys: set[RoomKey] | None = None
        """Room keys that came since the last commit. None: it cannot be told, since the last commit may be of another
        life, which was ended between the key's and its own."""
        self._open_rooms: frozenset[str] | None = None
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
        self._failures = 0
        """In a row; a nudge counts as a new beginning."""
        self._hasty_answers = 0
        self._wishes: list[_Wish] = []
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
            log.warning("What %d room keys open is shown with the next sync: %s", len(keys), trouble)

    async def collect(self) -> bool:
        """Ends a poll that waits, and syncs until nothing new comes: what was on the server when this was called is in
        the ledger, and acknowledged. Whether that worked."""
        wish = _Wish(asyncio.get_running_loop().create_future())
        self._wishes.append(wish)
        # Out of the back-off, too.
        self._nudged.set()
        if self._poll is not None:
            self._poll.reschedule(asyncio.get_running_loop().time())
        try:
            return await wish.granted
        finally:
            if wish in self._wishes:
                self._wishes.remove(wish)

    async def run(self) -> LoggedOut:
        """Returns when the access token is no longer good, and only then. Raises UserError if the ledger is damaged."""
        try:
            return await keep_running(
                "sync", self._run, ends_with=(UserError,), clock=self._world.clock, jitter=self._world.jitter
            )
        finally:
            self._grant(self._wishes, is_done=False)

    async def _run(self) -> LoggedOut:
        is_loaded = False
        while True:
            try:
                if not is_loaded:
                    await self._load()
                    is_loaded = True
                await self._turn()
                self._failures = 0
            except LoggedOut as gone:
                self._status.connection, self._status.why = Connection.SIGNED_OUT, str(gone)
                return gone
            except (ServerError, StorageError) as trouble:
                await self._wait_out(trouble)
            except UserError:
                # The ledger is damaged: trying again does not mend it.
                raise
            except Exception:
                # A fault of our own must neither end the daemon nor spin. Nothing was acknowledged: nothing is lost.
                log.exception("Unexpected fault in the sync loop")
                await self._wait_out(Unreachable("an unexpected fault, see the log"))
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
                await self._commit(await self._starter.start(self._failures))
        self._was_registered = (self._status.is_listing, self._was_registered[0])
        wishes = tuple(self._wishes)
        request = await self._request(is_hurried=bool(wishes))
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
        took_ms = abs(self._world.clock() - asked_ms)
        is_news = await self._take(sync)
        self._note_caught_up(request, sync)
        self._timeline_limit = TIMELINE_LIMIT
        self._nudged.clear()
        self._note_connection()
        # As with catching up: only an answer with nothing new comes from no cache, and leaves nothing unacknowledged.
        self._grant(wishes, is_done=True, has_more=sync.next_batch != request.since)
        await self._prune()
        if request.timeout_ms and took_ms < HASTY_MS and not (is_news and sync.next_batch != request.since):
            await self._pause()
        else:
            self._hasty_answers = 0

    async def _ask(self, request: SyncRequest) -> Sync | None:
        """None: somebody would rather collect at once what there is than wait for more."""
        if not request.timeout_ms:
            return await self._homeserver.sync(request)
        if self._wishes:
            return None
        try:
            async with asyncio.timeout(None) as self._poll:
                return await self._homeserver.sync(request)
        except TimeoutError:
            return None
        finally:
            self._poll = None

    def _grant(self, wishes: Sequence[_Wish], *, is_done: bool, has_more: bool = False) -> None:
        """Tells those who wait for `collect`, unless there may be more to come."""
        for wish in tuple(wishes):
            wish.rounds += 1
            if is_done and has_more and wish.rounds < COLLECT_ROUNDS:
                continue
            if not wish.granted.done():
                wish.granted.set_result(is_done)
            if wish in self._wishes:
                self._wishes.remove(wish)

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

    async def _read_open_rooms(self) -> frozenset[str]:
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
            taken = await self._encryption.take(sync.to_device)
            if self._new_keys is not None:
                self._new_keys.update(taken.new_keys)
            if taken.outcomes:
                self._world.on_received(taken.outcomes)
        self._world.on_key_counts(sync.one_time_keys, sync.has_unused_fallback_key)
        if sync.has_changed_devices:
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
        committed = await self._ledger.commit(decided, now)
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
            await self._commit(await self._starter.start_anew(self._account, self._failures))
        self._started_anew_at_ms = now

    async def _shrink(self) -> None:
        """An answer over the limit: ask for less of each room, and if that does not help for none."""
        if self._timeline_limit > 1:
            log.warning("The sync is too large: asking for one event of each room")
            self._timeline_limit = 1
        else:
            await self._start_anew(Refused(400, "", "the answer stays too large"))

    # Waiting

    async def _wait_out(self, trouble: HeliographError) -> None:
        self._failures += 1
        self._grant(self._wishes, is_done=False)
        asked = trouble.after if isinstance(trouble, RateLimited) else None
        delay = reconnect_delay(self._failures, self._world.jitter(), asked)
        if self._status.connection is not Connection.OFFLINE or self._status.why != str(trouble):
            log.warning("%s: %s", self._homeserver.user_id, trouble)
        self._status.connection, self._status.why = Connection.OFFLINE, str(trouble)
        self._status.connected_since_ms = None
        self._is_catching_up = True
        if self._failures >= PATIENCE or self._mode.mode is Mode.DIRECT:
            # It may come back as another: one that no longer says what rings would leave us silent.
            self._mode.doubt()
        if isinstance(trouble, StorageError):
            hint = f"Free some space or mend the disk: {trouble}."
            self._world.troubles.tell("Heliograph cannot write to disk", hint, about="disk")
        elif isinstance(trouble, Refused) and self._failures >= PATIENCE:
            self._world.troubles.tell("The homeserver refuses to sync", f"It says: {trouble}. See `heliograph status`.")
        if await self._sleep(delay):
            self._failures = 0

    async def _pause(self) -> None:
        """For a homeserver, or the cache of a proxy, that answers every poll at once and with nothing new."""
        self._hasty_answers += 1
        if self._hasty_answers > HASTY_ALLOWED:
            await self._sleep(min(2.0 ** (self._hasty_answers - HASTY_ALLOWED - 1), LONGEST_PAUSE_S))

    async def _sleep(self, delay: float) -> bool:
        """Waits unless nudged, and shows life meanwhile: a server may ask for an hour. Whether it was nudged."""
        while delay > 0 and not self._nudged.is_set():
            self._world.on_turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(delay, BEAT_S)):
                    await self._nudged.wait()
            delay -= BEAT_S
        is_nudged = self._nudged.is_set()
        self._nudged.clear()
        return is_nudged

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


def _after(account: AccountState, decided: Plan, now: int) -> AccountState:
    """The account once the plan is committed, as the ledger would give it."""
    changed: AccountData = decided.account_data
    return replace(
        account,
        next_batch=decided.next_batch,
        push_rules=account.push_rules if changed.push_rules is None else changed.push_rules,
        rules_problem=account.rules_problem if changed.rules_problem is None else changed.rules_problem or None,
        direct_rooms=account.direct_rooms if changed.direct_rooms is None else changed.direct_rooms,
        ignored_users=account.ignored_users if changed.ignored_users is None else changed.ignored_users,
        is_silenced=account.is_silenced if changed.is_silenced is None else changed.is_silenced,
        last_sync_ms=now,
    )


def _silent(decided: Plan) -> list[str]:
    judged = (*decided.judged, *decided.rejudged)
    return [each.event_id for each in judged if each.decision is Decision.SILENT and each.rule is not None]


def _report(decided: Plan) -> None:
    for judged in decided.judged[:REPORTED]:
        level = logging.DEBUG if judged.decision is Decision.SILENT else logging.INFO
        log.log(level, "%s in %s: %s (%s)", judged.event_id, judged.room_id, judged.decision.value, judged.reason)
    if len(decided.judged) > REPORTED:
        log.info("%d events in all, of which %d ring", len(decided.judged), len(decided.deliveries))
