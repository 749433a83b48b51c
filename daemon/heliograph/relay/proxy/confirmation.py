"""Asks the homeserver whether a change took place that a request speaks of.

A request that was answered with success proves nothing of its body: Synapse answers a repeated transaction as it did
the first one, whatever the body says now, and takes a receipt for any event in any room. What follows from a change
for others, or is kept, goes by the event or the membership itself.
Test: test_a_repeated_transaction_with_another_body_redacts_nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode

from heliograph.relay.proxy.upstream import Upstream
from heliograph.relay.wire.sync import loads
from heliograph.relay.wire.timeline import before_leaving

MAX_EVENT = 256 * 1024
MEMBER_MS = 5 * 60_000
"""How long a user is taken for a member of a room after the homeserver has said so."""
MAX_MEMBERS = 20_000
LAST_EVENTS = 30
"""Events of a room that was left. A push is late by a moment, in which no more come."""
_GONE = ("leave", "ban")
_NOT_FOUND = 404


class Confirmation:
    """Each question is asked with the authorization of the request, and raises NotAnswered. `now_ms`: ms since 1970."""

    def __init__(self, upstream: Upstream, now_ms: Callable[[], int]) -> None:
        self._upstream = upstream
        self._now_ms = now_ms
        self._members: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def is_redacted(self, room_id: str, event_id: str, authorization: Mapping[str, str]) -> bool:
        """Whether the homeserver shows this event of the room as redacted."""
        path = f"{_room(room_id)}/event/{quote(event_id, safe='')}"
        answer = await self._upstream.ask("GET", path, authorization, limit=MAX_EVENT)
        told = answer.json() if answer.is_good else {}
        unsigned = told.get("unsigned")
        return told.get("event_id") == event_id and isinstance(unsigned, dict) and "redacted_because" in unsigned

    async def has_left(self, room_id: str, user_id: str, authorization: Mapping[str, str]) -> bool:
        """Whether the user has left the room or was banned from it. False, too, if the homeserver does not say."""
        has_left = await self._membership(room_id, user_id, authorization) in _GONE
        if has_left:
            self._members.pop((room_id, user_id), None)
        return has_left

    async def is_member(self, room_id: str, user_id: str, authorization: Mapping[str, str]) -> bool:
        """Whether the user has joined the room, by an answer that is MEMBER_MS old at most."""
        key, now_ms = (room_id, user_id), self._now_ms()
        known_ms = self._members.get(key)
        # Absolute, since the clock may have been set back.
        if known_ms is not None and abs(now_ms - known_ms) < MEMBER_MS:
            return True
        if await self._membership(room_id, user_id, authorization) != "join":
            self._members.pop(key, None)
            return False
        self._members[key] = now_ms
        self._members.move_to_end(key)
        if len(self._members) > MAX_MEMBERS:
            self._members.popitem(last=False)
        return True

    async def before_leaving(self, room_id: str, user_id: str, authorization: Mapping[str, str]) -> list[str]:
        """The ids of the room's last events from before the user left it; empty if the homeserver does not tell."""
        query = urlencode({"dir": "b", "limit": str(LAST_EVENTS)})
        answer = await self._upstream.ask("GET", f"{_room(room_id)}/messages?{query}", authorization)
        return before_leaving(loads(answer.body), user_id) if answer.is_good else []

    async def is_device_gone(self, device_id: str, authorization: Mapping[str, str]) -> bool:
        """Whether the user of this authorization has no such device. False, too, if the homeserver does not say."""
        path = f"/_matrix/client/v3/devices/{quote(device_id, safe='')}"
        return (await self._upstream.ask("GET", path, authorization, limit=MAX_EVENT)).status == _NOT_FOUND

    async def _membership(self, room_id: str, user_id: str, authorization: Mapping[str, str]) -> object:
        path = f"{_room(room_id)}/state/m.room.member/{quote(user_id, safe='')}"
        answer = await self._upstream.ask("GET", path, authorization, limit=MAX_EVENT)
        return answer.json().get("membership") if answer.is_good else None


def _room(room_id: str) -> str:
    return f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}"
