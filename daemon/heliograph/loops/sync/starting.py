"""How an account begins: at its first sync ever, and anew where the homeserver forgot its place."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from heliograph.core.events import ServerNotification, Sync
from heliograph.core.record import AccountState, Plan
from heliograph.core.sync.start import anew_plan, first_plan
from heliograph.errors import HeliographError, RateLimited, Refused, Unreachable
from heliograph.loops.sync.planner import SyncPlanner
from heliograph.loops.sync.rulebook import Rulebook
from heliograph.ports.homeserver import Homeserver, SyncRequest

log = logging.getLogger(__name__)

T = TypeVar("T")

BEFORE_LIMIT = 100
"""How many unread notifications the first start counts."""
PATIENCE = 3
"""How often a start is tried that fails only in what it can do without."""


class Starter:
    """Makes the first plan. Its syncs ask for no rooms, so they cost the same for every account."""

    def __init__(
        self,
        homeserver: Homeserver,
        take: Callable[[Sync], Awaitable[None]],
        rulebook: Rulebook,
        planner: SyncPlanner,
        on_progress: Callable[[], None],
    ) -> None:
        """`take` keeps what a sync brings besides events."""
        self._homeserver = homeserver
        self._take = take
        self._rulebook = rulebook
        self._planner = planner
        self._on_progress = on_progress

    async def start(self, failures: int) -> Plan:
        """The first plan ever: a token, the rules, and one summary of what was unread. Raises ServerError.

        `failures`: how often this was tried in vain.
        """
        sync = await self._sync()
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

    async def start_anew(self, account: AccountState, failures: int) -> Plan:
        """A new token in place of one that the homeserver refuses, and what was missed since the last known event."""
        sync = self._rulebook.check(await self._sync())
        self._on_progress()
        missed = await _dispensable(self._planner.list_missed(account), failures)
        if missed is None:
            return replace(anew_plan(sync.next_batch), account_data=sync.account_data)
        return await self._planner.plan_missed(sync, missed, account)

    async def _sync(self) -> Sync:
        sync = await self._homeserver.sync(SyncRequest(since=None, timeout_ms=0))
        await self._take(sync)
        return sync


async def _dispensable(request: Awaitable[T], failures: int) -> T | None:
    """None where the homeserver has no such thing, or again and again fails to tell."""
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
    """None where the homeserver has no such thing."""
    try:
        return await request
    except Refused as refusal:
        log.info("The homeserver does not tell: %s", refusal)
        return None
