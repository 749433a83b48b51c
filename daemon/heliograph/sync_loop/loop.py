"""The turns of one account's sync, and the waiting between them when something is wrong.

    /sync -> to-device events into the inbox -> gaps filled -> room facts -> plan -> ledger, one transaction -> /sync

Nothing is acknowledged that is not on disk, so a kill at any point loses nothing: the homeserver sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from heliograph.core.backoff import reconnect_delay
from heliograph.core.events import AccountData, ServerNotification, Sync
from heliograph.core.plan import (
    Mode,
    Situation,
    is_disputed,
    marked_events,
    missing_names,
    plan,
    rooms_changing_deliveries,
    rooms_wanting_facts,
    senders,
    touched_rooms,
)
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, Decision, Plan, RoomRecord
from heliograph.core.start import anew_plan, first_plan
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
from heliograph.ports import Features, Homeserver, Inbox, Ledger, SyncRequest
from heliograph.status import AccountStatus, Connection
from heliograph.sync_loop.gaps import GapFiller
from heliograph.sync_loop.gathering import FactGatherer
from heliograph.sync_loop.salvage import salvage

log = logging.getLogger(__name__)

T = TypeVar("T")

BASE_TYPES = frozenset(
    {
        "m.room.message",
        "m.room.encrypted",
        "m.sticker",
        "m.call.invite",
        "m.call.notify",
        "org.matrix.msc4075.rtc.notification",
        "m.room.redaction",
        "m.room.tombstone",
        "m.poll.start",
        "org.matrix.msc3381.poll.start",
    }
)
"""Timeline events that predefined rules let ring, or that withdraw what rang. The ruleset adds what it names."""

TIMELINE_LIMIT = 20
LARGE_BODY = 64 * 1024
"""Bytes. A larger sync is planned in a thread, so that the desktop and the other accounts go on meanwhile."""
IDLE_COMMIT_MS = 3_600_000
"""A token that moves without news is written this seldom: an idle night costs no disk writes."""
FEATURES_MS = 6 * 3_600_000
PRUNE_MS = 24 * 3_600_000
DAY_MS = 24 * 3_600_000
BEAT_S = 60.0
REPORTED = 50
"""Events of one sync that get a line each in the log."""
BEFORE_LIMIT = 100
"""How many unread notifications the first start counts."""
LARGE_COUNT = 100
"""Events. More are planned in a thread, too."""
PATIENCE = 3
"""How often a start is tried that fails only in what it can do without."""
HASTY_MS = 1000
HASTY_ALLOWED = 3
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What the configuration says of the loop."""

    poll_s: int = 50
    history_days: int = 7


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
    on_trouble: Callable[[str, str], None]
    """Something only the user can mend: what is wrong, what to do."""


class SyncLoop:
    """One account's loop. `run` ends when the account is signed out, or is cancelled."""

    def __init__(
        self,
        homeserver: Homeserver,
        ledger: Ledger,
        inbox: Inbox,
        status: AccountStatus,
        settings: SyncSettings,
        surroundings: Surroundings,
    ) -> None:
        self._homeserver = homeserver
        self._ledger = ledger
        self._inbox = inbox
        self._status = status
        self._settings = settings
        self._world = surroundings
        self._gaps = GapFiller(homeserver, ledger, surroundings.on_turn, surroundings.on_trouble)
        self._gatherer = FactGatherer(homeserver, surroundings.on_turn)
        self._account = AccountState()
        self._ruleset = Ruleset.predefined(homeserver.user_id)
        self._event_types = self._ruleset.event_types(BASE_TYPES)
        self._open_rooms: frozenset[str] | None = None
        """Rooms with open deliveries as the last commit left them; None: to be asked."""
        self._mode = Mode.LOCAL
        self._was_registered = (False, False)
        """Whether our pusher was known to be registered when the last sync was asked for, and the one before."""
        self._features_at_ms: int | None = None
        self._committed_at_ms = 0
        self._pruned_at_ms: int | None = None
        self._is_catching_up = True
        self._timeline_limit = TIMELINE_LIMIT
        self._started_anew_at_ms: int | None = None
        self._nudged = asyncio.Event()
        self._failures = 0
        """In a row; a nudge counts as a new beginning."""
        self._hasty_answers = 0

    def take_pusher_switch(self, *, is_enabled: bool) -> None:
        """Our pusher was switched on or off by another client: holds from the next plan on."""
        self._account = replace(self._account, is_pusher_enabled=is_enabled)

    async def nudge(self, why: str) -> None:
        """The network came up or the machine woke: leave the back-off, drop sockets that may be dead, sync at once."""
        log.info("%s: asking %s again at once", why, self._homeserver.user_id)
        self._nudged.set()
        await self._homeserver.drop_connections()

    async def run(self) -> LoggedOut:
        """Returns when the access token is no longer good, and only then. Raises UserError if the ledger is damaged."""
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
        if self._account.push_rules is not None:
            self._take_rules(self._account.push_rules)

    # Turns

    async def _turn(self) -> None:
        await self._refresh_features()
        if self._account.next_batch is None:
            await self._start()
        self._was_registered = (self._status.is_pusher_registered, self._was_registered[0])
        request = await self._request()
        asked_ms = self._world.clock()
        try:
            sync = await self._homeserver.sync(request)
        except AnswerTooLarge:
            await self._shrink()
            return
        except Refused as refusal:
            await self._start_anew(refusal)
            return
        took_ms = abs(self._world.clock() - asked_ms)
        is_news = await self._take(sync)
        self._is_catching_up = False
        self._timeline_limit = TIMELINE_LIMIT
        self._nudged.clear()
        self._note_connection()
        await self._prune()
        if request.timeout_ms and took_ms < HASTY_MS and not (is_news and sync.next_batch != request.since):
            await self._pause()
        else:
            self._hasty_answers = 0

    async def _request(self) -> SyncRequest:
        """Catching up returns at once and wants every room's receipts: what was read meanwhile must not ring."""
        catching_up = self._is_catching_up
        return SyncRequest(
            since=self._account.next_batch,
            timeout_ms=0 if catching_up else self._settings.poll_s * 1000,
            receipts_in=None if catching_up else await self._read_open_rooms(),
            event_types=self._event_types,
            timeline_limit=self._timeline_limit,
        )

    async def _read_open_rooms(self) -> frozenset[str]:
        """Right after a commit they are known; by the next poll the user may have closed some."""
        known, self._open_rooms = self._open_rooms, None
        return await self._ledger.rooms_with_open_deliveries() if known is None else known

    async def _take(self, sync: Sync) -> bool:
        """Whether it brought anything."""
        if sync.to_device:
            await self._inbox.keep(sync.to_device)
        sync = self._check_rules(sync)
        self._gatherer.forget(sync.left)
        decided = await self._plan_or_salvage(sync)
        await self._commit(decided)
        return bool(sync.to_device) or not decided.is_empty

    async def _plan_or_salvage(self, sync: Sync) -> Plan:
        try:
            return await self._plan(sync)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in judging a sync: it is judged again without what cannot be")
            situation = Situation(self._homeserver.user_id, self._mode, self._account, self._ruleset)
            return await self._plan(await asyncio.to_thread(salvage, sync, situation))

    async def _plan(self, sync: Sync) -> Plan:
        if not touched_rooms(sync) and not sync.malformed:
            return Plan(next_batch=sync.next_batch, account_data=sync.account_data)
        if self._mode is Mode.DIRECT and (decided := await self._plan_by_list(sync)) is not None:
            return decided
        sync, filled = await self._gaps.fill(sync, self._account, self._event_types)
        return await self._plan_filled(sync, filled, Mode.BOTH if self._mode is Mode.DIRECT else Mode.LOCAL)

    async def _plan_by_list(self, sync: Sync) -> Plan | None:
        """None if the server leaves out what would ring by the push rules, and its word does not hold for that.

        A proxy that offered direct push may be gone between two requests without a connection being cut. And nothing
        is listed that came before our pusher; what came right after one sync was answered is in the next.
        """
        situation = await self._gather(sync, (), Mode.DIRECT)
        decided = await self._decide(sync, situation)
        if not is_disputed(decided, await _decide(sync, replace(situation, mode=Mode.LOCAL))):
            return decided
        self._features_at_ms = None
        await self._refresh_features()
        return decided if self._mode is Mode.DIRECT and all(self._was_registered) else None

    async def _plan_filled(self, sync: Sync, filled: tuple[ServerNotification, ...], mode: Mode) -> Plan:
        return await self._decide(sync, await self._gather(sync, filled, mode))

    async def _gather(self, sync: Sync, filled: tuple[ServerNotification, ...], mode: Mode) -> Situation:
        touched = touched_rooms(sync, filled)
        rooms = await self._ledger.rooms(touched, senders(sync, filled))
        changing = rooms_changing_deliveries(sync, rooms)
        marked = marked_events(sync)
        situation = Situation(
            me=self._homeserver.user_id,
            mode=mode,
            account=self._account,
            ruleset=self._ruleset,
            rooms=rooms,
            open_deliveries=await self._ledger.open_deliveries(changing) if changing else (),
            positions=await self._ledger.positions(marked) if marked else {},
            filled=filled,
        )
        if wanted := rooms_wanting_facts(sync, situation):
            told = await self._gatherer.ask_rooms(wanted, situation.rooms)
            situation = _with_rooms(situation, told)
        return situation

    async def _decide(self, sync: Sync, situation: Situation) -> Plan:
        decided = await _decide(sync, situation)
        if missing := missing_names(decided, situation.rooms):
            situation = _with_rooms(situation, await self._gatherer.ask_names(missing, situation.rooms))
            decided = await _decide(sync, situation)
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
        if committed.new or decided.changes:
            self._world.on_news()

    # Starting

    async def _start(self) -> None:
        """The first sync ever asks for no rooms, so it costs the same for every account."""
        sync = await self._homeserver.sync(SyncRequest(since=None, timeout_ms=0))
        if sync.to_device:
            await self._inbox.keep(sync.to_device)
        rules = sync.account_data.push_rules
        if rules is None:
            rules = await _unless_refused(self._homeserver.push_rules())
        self._world.on_turn()
        page = await self._dispensable(self._homeserver.notifications(since=None, limit=BEFORE_LIMIT))
        before = [item for item in page.notifications if isinstance(item, ServerNotification)] if page else []
        invites = {item.event.room_id for item in before if item.event.state_key == self._homeserver.user_id}
        if rules is not None and not self._take_rules(rules):
            rules = None
        open_invites = await self._dispensable(self._homeserver.open_invites(invites)) if invites else None
        log.info("First start for %s", self._homeserver.user_id)
        await self._commit(
            first_plan(
                sync,
                before,
                open_invites or (),
                has_more=page is not None and page.next_token is not None and len(before) >= BEFORE_LIMIT,
                push_rules=rules,
            )
        )

    async def _start_anew(self, refusal: Refused) -> None:
        """The homeserver refuses our token: take a new one, and list what was missed since the last known event."""
        now = self._world.clock()
        is_again = self._started_anew_at_ms is not None and abs(now - self._started_anew_at_ms) < DAY_MS
        if refusal.status != 400 or is_again:
            raise refusal
        log.warning("The homeserver refuses the sync token (%s): starting anew", refusal)
        sync = self._check_rules(await self._homeserver.sync(SyncRequest(since=None, timeout_ms=0)))
        if sync.to_device:
            await self._inbox.keep(sync.to_device)
        self._world.on_turn()
        missed = await self._dispensable(self._gaps.list_missed(self._account))
        if missed is None:
            await self._commit(replace(anew_plan(sync.next_batch), account_data=sync.account_data))
        else:
            await self._commit(await self._plan_filled(sync, missed, self._mode))
        self._started_anew_at_ms = now

    async def _dispensable(self, request: Awaitable[T]) -> T | None:
        """None where the homeserver has no such thing, or again and again fails to tell."""
        try:
            return await _unless_refused(request)
        except (Unreachable, RateLimited) as trouble:
            if self._failures < PATIENCE:
                raise
            log.warning("Starting without what the homeserver fails to tell: %s", trouble)
            return None

    async def _shrink(self) -> None:
        """An answer over the limit: ask for less of each room, and if that does not help for none."""
        if self._timeline_limit > 1:
            log.warning("The sync is too large: asking for one event of each room")
            self._timeline_limit = 1
        else:
            await self._start_anew(Refused(400, "", "the answer stays too large"))

    async def _refresh_features(self) -> None:
        now = self._world.clock()
        if self._features_at_ms is not None and abs(now - self._features_at_ms) < FEATURES_MS:
            return
        try:
            features = await self._homeserver.features()
        except Refused as refusal:
            log.warning("The homeserver does not tell its versions: %s", refusal)
            features = Features()
        self._features_at_ms = now
        self._take_features(features)

    def _take_features(self, features: Features) -> None:
        self._mode = Mode.DIRECT if features.has_direct_push else Mode.LOCAL
        status = self._status
        status.software, status.versions = features.software, features.versions
        status.has_direct_push, status.has_remote_toggle = features.has_direct_push, features.has_remote_toggle
        has_changed = status.mode not in ("", self._mode.value)
        status.mode = self._mode.value
        status.mode_reason = (
            "the server offers direct push (MSC3361)"
            if features.has_direct_push
            else "the server has no direct push (MSC3361), so the push rules are judged here"
        )
        if has_changed:
            log.info("%s goes on in mode %s: %s", status.user_id, status.mode, status.mode_reason)

    # Push rules

    def _check_rules(self, sync: Sync) -> Sync:
        """New rules hold for the very sync that brought them; unusable ones are not kept."""
        rules = sync.account_data.push_rules
        if rules is None or self._take_rules(rules):
            return sync
        return replace(sync, account_data=replace(sync.account_data, push_rules=None))

    def _take_rules(self, rules: object) -> bool:
        content = rules.get("global") if isinstance(rules, dict) else None
        if not isinstance(content, dict):
            self._status.rules_problem = "the homeserver sent push rules without a `global` part; the last ones stay"
            log.warning("Unusable push rules: the last good ones stay in force")
            return False
        self._ruleset = Ruleset.parse(content)
        self._event_types = self._ruleset.event_types(BASE_TYPES)
        self._status.rules_problem = "; ".join(self._ruleset.problems[:3]) or None
        return True

    # Waiting

    async def _wait_out(self, trouble: HeliographError) -> None:
        self._failures += 1
        asked = trouble.after if isinstance(trouble, RateLimited) else None
        delay = reconnect_delay(self._failures, self._world.jitter(), asked)
        if self._status.connection is not Connection.OFFLINE or self._status.why != str(trouble):
            log.warning("%s: %s", self._homeserver.user_id, trouble)
        self._status.connection, self._status.why = Connection.OFFLINE, str(trouble)
        self._status.connected_since_ms = None
        self._is_catching_up = True
        if self._failures >= PATIENCE or self._mode is Mode.DIRECT:
            # It may come back as another: one that no longer says what rings would leave us silent.
            self._features_at_ms = None
        if isinstance(trouble, StorageError):
            self._world.on_trouble("Heliograph cannot write to disk", f"Free some space or mend the disk: {trouble}.")
        elif isinstance(trouble, Refused) and self._failures >= PATIENCE:
            self._world.on_trouble("The homeserver refuses to sync", f"It says: {trouble}. See `heliograph status`.")
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

    def _note_connection(self) -> None:
        if self._status.connection is Connection.CONNECTED:
            return
        self._status.connection, self._status.why = Connection.CONNECTED, ""
        self._status.connected_since_ms = self._world.clock()
        log.info(
            "%s is connected to %s, mode %s: %s",
            self._homeserver.user_id,
            self._status.homeserver,
            self._mode.value,
            self._status.mode_reason,
        )

    async def _prune(self) -> None:
        now = self._world.clock()
        if self._pruned_at_ms is None or abs(now - self._pruned_at_ms) > PRUNE_MS:
            self._pruned_at_ms = now
            await self._ledger.prune(now - self._settings.history_days * DAY_MS)


def _with_rooms(situation: Situation, told: Mapping[str, RoomRecord]) -> Situation:
    return replace(
        situation,
        rooms={**situation.rooms, **told},
        fresh_rooms=situation.fresh_rooms.union(told),
    )


async def _unless_refused(request: Awaitable[T]) -> T | None:
    """None where the homeserver has no such thing."""
    try:
        return await request
    except Refused as refusal:
        log.info("The homeserver does not tell: %s", refusal)
        return None


async def _decide(sync: Sync, situation: Situation) -> Plan:
    count = sum(len(room.timeline) for room in sync.joined) + len(sync.notifications) + len(situation.filled)
    if sync.size < LARGE_BODY and count < LARGE_COUNT:
        return plan(sync, situation)
    return await asyncio.to_thread(plan, sync, situation)


def _after(account: AccountState, decided: Plan, now: int) -> AccountState:
    """The account once the plan is committed, as the ledger would give it."""
    changed: AccountData = decided.account_data
    return replace(
        account,
        next_batch=decided.next_batch,
        push_rules=account.push_rules if changed.push_rules is None else changed.push_rules,
        direct_rooms=account.direct_rooms if changed.direct_rooms is None else changed.direct_rooms,
        ignored_users=account.ignored_users if changed.ignored_users is None else changed.ignored_users,
        is_silenced=account.is_silenced if changed.is_silenced is None else changed.is_silenced,
        last_sync_ms=now,
    )


def _report(decided: Plan) -> None:
    for judged in decided.judged[:REPORTED]:
        level = logging.DEBUG if judged.decision is Decision.SILENT else logging.INFO
        log.log(level, "%s in %s: %s (%s)", judged.event_id, judged.room_id, judged.decision.value, judged.reason)
    if len(decided.judged) > REPORTED:
        log.info("%d events in all, of which %d ring", len(decided.judged), len(decided.deliveries))
