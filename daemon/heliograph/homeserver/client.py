"""Implements `ports.homeserver.Homeserver`: the Client-Server API for one signed-in device."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from heliograph.core.events import Event, Json, Malformed, Sync
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.room import RoomFacts
from heliograph.homeserver import features, invites, pages, push_rules, pushers, room_state, sync_response
from heliograph.homeserver.room_facts import RoomFactsSource
from heliograph.homeserver.session import Session
from heliograph.homeserver.sync_filter import sync_query
from heliograph.homeserver.thread_subscriptions import fetch_subscription
from heliograph.ports.homeserver import EventContext, Features, Member, MessagesPage, NotificationsPage, SyncRequest

MAX_SYNC = 64 * 1024 * 1024
"""The most bytes that the answer to a /sync may have."""

_MAX_WHOAMI = 64 * 1024
_GRACE_S = 10.0
"""How long after its timeout a poll may still be answered before its connection counts as dead."""
_LEAST_S = 30.0
"""How long even a poll that returns at once may take: after an absence it is much work for the server."""
_DECODED_AT_ONCE = 256 * 1024
"""Bytes that are decoded within 5 ms. A larger answer is decoded in a thread, so that timers and D-Bus go on."""


class HomeserverClient:
    """A `ports.homeserver.Homeserver` over a session that is signed in."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._facts = RoomFactsSource(session)
        self.user_id = session.user_id
        self.device_id = session.device_id

    async def features(self) -> Features:
        return await features.fetch_features(self._session)

    async def whoami(self) -> None:
        await self._session.request_json("GET", "/_matrix/client/v3/account/whoami", limit=_MAX_WHOAMI)

    async def sync(self, request: SyncRequest) -> Sync:
        body = await self._session.request(
            "GET",
            "/_matrix/client/v3/sync",
            query=sync_query(request, self.device_id),
            timeout_s=max(request.timeout_ms / 1000 + _GRACE_S, _LEAST_S),
            limit=MAX_SYNC,
            # A repeated /sync gets the old answer, without the receipts since: see `http.repetition`.
            once=True,
        )
        if len(body) <= _DECODED_AT_ONCE:
            return sync_response.decode_sync(body, user_id=self.user_id, device_id=self.device_id)
        return await asyncio.to_thread(sync_response.decode_sync, body, user_id=self.user_id, device_id=self.device_id)

    async def push_rules(self) -> Json:
        return await push_rules.fetch_push_rules(self._session)

    async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        return await self._facts.fetch(room_ids)

    async def open_invites(self, room_ids: Collection[RoomId]) -> frozenset[RoomId]:
        return await invites.fetch_open_invites(self._session, room_ids)

    async def member(self, room_id: RoomId, user_id: UserId) -> Member:
        return await room_state.fetch_member(self._session, room_id, user_id)

    async def joined_members(self, room_id: RoomId) -> Mapping[UserId, Member] | None:
        return await room_state.fetch_members(self._session, room_id)

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        return await pages.fetch_notifications(self._session, since=since, limit=limit)

    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        return await pages.fetch_messages(
            self._session, room_id, since=since, until=until, limit=limit, event_types=event_types
        )

    async def event(self, room_id: RoomId, event_id: EventId) -> Event | Malformed:
        return await pages.fetch_event(self._session, room_id, event_id)

    async def context(
        self, room_id: RoomId, event_id: EventId, *, limit: int, event_types: frozenset[str] | None = None
    ) -> EventContext:
        return await pages.fetch_context(self._session, room_id, event_id, limit=limit, event_types=event_types)

    async def is_subscribed(self, room_id: RoomId, root: EventId) -> bool:
        return await fetch_subscription(self._session, room_id, root)

    async def pushers(self) -> tuple[Pusher, ...]:
        return await pushers.fetch_pushers(self._session)

    async def set_pusher(self, pusher: Pusher) -> None:
        await pushers.set_pusher(self._session, pusher)

    async def remove_pusher(self, app_id: str, pushkey: str) -> None:
        await pushers.remove_pusher(self._session, app_id, pushkey)

    async def drop_connections(self) -> None:
        await self._session.drop_connections()

    async def close(self) -> None:
        await self._session.close()
