"""A homeserver whose polls a test looks at."""

from __future__ import annotations

import asyncio

from fakes.homeserver import FakeHomeserver
from heliograph.core.events import Json, Sync
from heliograph.errors import Refused
from heliograph.ports.homeserver import Features, NotificationsPage, SyncRequest
from support.builders import ME

HOUR, DAY, YEAR = 3600, 86_400, 365 * 86_400


BAD_TOKEN = Refused(400, "M_INVALID_PARAM", "unknown token")


class WatchedHomeserver(FakeHomeserver):
    """Notes when each /sync was asked for, and lets a test look at that moment."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.times: list[float] = []
        self.sync_failures: list[Exception] = []
        """Raised by the next syncs that have a token."""
        self.list_failures: list[Exception] = []
        self.rules_failures: list[Exception] = []
        self.forgotten_tokens: set[str | None] = set()
        self.refuses_narrow_syncs = False
        self.feature_requests = 0

    async def features(self) -> Features:
        self.feature_requests += 1
        return await super().features()

    async def sync(self, request: SyncRequest) -> Sync:
        self.times.append(asyncio.get_running_loop().time())
        if request.since in self.forgotten_tokens:
            self.requests.append(request)
            raise BAD_TOKEN
        if request.since is not None and self.sync_failures:
            self.requests.append(request)
            raise self.sync_failures.pop(0)
        if request.since is not None and request.is_narrow and self.refuses_narrow_syncs:
            self.requests.append(request)
            raise BAD_TOKEN
        return await super().sync(request)

    async def push_rules(self) -> Json:
        if self.rules_failures:
            raise self.rules_failures.pop(0)
        return await super().push_rules()

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        if self.list_failures:
            raise self.list_failures.pop(0)
        return await super().notifications(since=since, limit=limit)

    async def fail(self, *failures: Exception) -> None:
        """Ends the poll under way; the next syncs that have a token fail in these ways, one after the other."""
        self.sync_failures.extend(failures)
        await self.drop_connections()

    async def forget_token(self) -> None:
        """Refuses the token of the poll under way, from now on."""
        self.forgotten_tokens.add(self.requests[-1].since)
        self.add_account_data("m.unrelated", {})
        await self.drop_connections()

    @property
    def waits(self) -> list[float]:
        """Seconds between the requests."""
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]
