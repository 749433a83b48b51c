"""How an account begins: at its first sync ever, and anew where the homeserver forgot its place."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from heliograph.core.events import ServerNotification, Sync
from heliograph.core.record import Plan
from heliograph.core.sync.start import anew_plan, first_plan
from heliograph.errors import HeliographError, RateLimited, Refused, Unreachable
from heliograph.loops.sync.commits import Commits
from heliograph.loops.sync.planner import SyncPlanner
from heliograph.loops.sync.rulebook import Rulebook
from heliograph.ports.homeserver import Homeserver, SyncRequest

log = logging.getLogger(__name__)

T = TypeVar("T")

BEFORE_LIMIT = 100
"""How many unread notifications the first start counts."""
PATIENCE = 3
"""How often a start is tried that fails only in what it can do without."""
DAY_MS = 24 * 3_600_000


class Starter:
    """Commits the first plan of an account.

    Its syncs ask for no rooms (`rooms: []`), so they cost the same for every account: Synapse takes 1 to 2 ms for each
    room that a filter names. Such a sync brings no pending invites on Synapse, so these are counted from
    GET /notifications and /room_summary.
    Test: test_the_first_start_asks_for_no_room_and_gives_one_summary.
    """

    def __init__(
        self,
        homeserver: Homeserver,
        commits: Commits,
        rulebook: Rulebook,
        planner: SyncPlanner,
        *,
        clock: Callable[[], int],
        on_progress: Callable[[], None],
    ) -> None:
        """`clock` gives milliseconds since 1970. `on_progress` is called whenever the homeserver has answered."""
        self._homeserver = homeserver
        self._commits = commits
        self._rulebook = rulebook
        self._planner = planner
        self._clock = clock
        self._on_progress = on_progress
        self._started_anew_at_ms: int | None = None
        self._logged = ""
        """The refusal that was logged last, until a start works: the tries meanwhile may go on for days."""

    async def start(self, failures: int) -> None:
        """Commits the first plan ever: a token, the rules, and one summary of what was unread.

        `failures`: how often in a row this failed before. Raises ServerError and StorageError.
        """
        await self._commits.commit(partial(self._plan_first, failures))

    async def start_anew(self, refusal: Refused, failures: int) -> None:
        """Commits a new token in place of one that the homeserver refuses, and what was missed since.

        Raises `refusal` if the token is not to blame, or if this was done less than a day ago: another fault would
        make it endless. Raises ServerError and StorageError.
        """
        now = self._clock()
        is_again = self._started_anew_at_ms is not None and abs(now - self._started_anew_at_ms) < DAY_MS
        if refusal.status != 400 or is_again:
            raise refusal
        if (why := str(refusal)) != self._logged:
            self._logged = why
            log.warning("The homeserver refuses the sync token (%s): starting anew", why)
        await self._commits.commit(partial(self._plan_anew, failures))
        # Only after the commit: a start that failed may be tried again at once.
        self._started_anew_at_ms, self._logged = now, ""

    async def _plan_first(self, failures: int) -> Plan:
        sync = await self._sync()
        # Asked for even if the sync told none: later syncs tell only of changes, so rules that are missed now are
        # missed for good.
        rules = sync.account_data.push_rules
        if rules is None:
            rules = await _unless_refused(self._homeserver.push_rules())
        self._on_progress()
        page = await _dispensable(self._homeserver.notifications(since=None, limit=BEFORE_LIMIT), failures)
        before = [item for item in page.notifications if isinstance(item, ServerNotification)] if page else []
        invites = {item.event.room_id for item in before if item.event.state_key == self._homeserver.user_id}
        sync = self._rulebook.check(replace(sync, account_data=replace(sync.account_data, push_rules=rules)))
        open_invites = await _dispensable(self._homeserver.open_invites(invites), failures) if invites else None
        log.info("First start for %s", self._homeserver.user_id)
        return first_plan(
            sync,
            before,
            open_invites or (),
            has_more=page is not None and page.next_token is not None and len(before) >= BEFORE_LIMIT,
        )

    async def _plan_anew(self, failures: int) -> Plan:
        account = self._commits.account
        sync = self._rulebook.check(await self._sync())
        self._on_progress()
        missed = await _dispensable(self._planner.list_missed(account), failures)
        if missed is None:
            return replace(anew_plan(sync.next_batch), account_data=sync.account_data)
        return await self._planner.plan_missed(sync, missed, account)

    async def _sync(self) -> Sync:
        sync = await self._homeserver.sync(SyncRequest(since=None, timeout_ms=0))
        # Before the plan: the homeserver deletes these events with the next request, whatever becomes of the plan.
        await self._commits.take_to_device(sync)
        return sync


async def _dispensable(request: Awaitable[T], failures: int) -> T | None:
    """What the request returns. None if the homeserver has no such thing, or has failed `PATIENCE` times to tell."""
    try:
        return await _unless_refused(request)
    except (Unreachable, RateLimited) as trouble:
        if failures < PATIENCE:
            raise
        log.warning("Starting without what the homeserver fails to tell: %s", trouble)
        return None
    except HeliographError:
        raise
    except Exception:
        if failures < PATIENCE:
            raise
        log.exception("Starting without what finds a fault of ours")
        return None


async def _unless_refused(request: Awaitable[T]) -> T | None:
    """What the request returns. None if the homeserver has no such thing."""
    try:
        return await request
    except Refused as refusal:
        log.info("The homeserver does not tell: %s", refusal)
        return None
