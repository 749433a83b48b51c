"""What the user does in rooms, in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from fakes.homeserver import FakeHomeserver
from fakes.synapse_checks import check_rule_change
from heliograph.core.events import Json
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetActions, SetEnabled
from heliograph.errors import ServerError


class FakeRoomActions:
    """`ports.RoomActions`. `failures` are raised by the next calls in order.

    With a `homeserver` it acts there, and refuses what Synapse refuses there; without one every room will do.
    """

    def __init__(self, user_id: str = "@me:example.org", homeserver: FakeHomeserver | None = None) -> None:
        self.user_id = UserId(user_id)
        self._homeserver = homeserver
        self.done: list[tuple[str, ...]] = []
        """What was done, in order."""
        self.failures: deque[ServerError] = deque()
        self.change_failures: deque[ServerError] = deque()
        """Of `change_push_rules` alone."""
        self.rules: dict[str, list[dict[str, Any]]] = {"override": []}
        self.answering = asyncio.Event()
        self.answering.set()

    async def mark_read(self, room_id: RoomId, event_id: EventId, *, is_public: bool) -> None:
        await self._call()
        if self._homeserver is not None:
            await self._homeserver.read(room_id, event_id, is_public=is_public)
        self.done.append(("public" if is_public else "private", room_id, event_id))

    async def join(self, room_id: RoomId) -> None:
        await self._call()
        if self._homeserver is not None:
            await self._homeserver.join(room_id)
        self.done.append(("join", room_id))

    async def leave(self, room_id: RoomId) -> None:
        await self._call()
        if self._homeserver is not None:
            await self._homeserver.leave(room_id)
        self.done.append(("leave", room_id))

    async def add_direct(self, room_id: RoomId, user_id: UserId) -> None:
        await self._call()
        self.done.append(("direct", room_id, user_id))

    async def push_rules(self) -> Json:
        await self._call()
        return self.rules

    async def change_push_rules(self, change: RuleChange) -> None:
        await self._call()
        if self.change_failures:
            raise self.change_failures.popleft()
        check_rule_change(self.rules, change)
        rules = self.rules.setdefault(change.kind, [])
        found = next((rule for rule in rules if rule["rule_id"] == change.rule_id), None)
        match change:
            case Put(body=body):
                self.rules[change.kind] = [{"rule_id": change.rule_id, **body}, *(r for r in rules if r is not found)]
            case SetEnabled(enabled=enabled) if found is not None:
                found["enabled"] = enabled
            case SetActions(actions=actions) if found is not None:
                found["actions"] = list(actions)
            case Delete() if found is not None:
                rules.remove(found)

    async def _call(self) -> None:
        await self.answering.wait()
        if self.failures:
            raise self.failures.popleft()
