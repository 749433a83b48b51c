"""Sending into rooms of a homeserver in memory, and who would read it.

It refuses what Synapse refuses (tests/contract/test_rooms.py).
"""

from __future__ import annotations

from collections import deque

from fakes.homeserver import FORBIDDEN, FakeHomeserver, FakeRoom
from fakes.synapse_checks import check_sent_event
from heliograph.core.events import Json
from heliograph.core.ids import EventId, RoomId
from heliograph.errors import Refused, ServerError
from heliograph.ports.homeserver import Audience


class FakeRooms:
    """`ports.Rooms`, as the homeserver's own user. `failures` are raised by the next calls in order."""

    def __init__(self, homeserver: FakeHomeserver) -> None:
        self.homeserver = homeserver
        self.failures: deque[ServerError] = deque()
        self.sent: list[tuple[str, str, Json]] = []
        """Room, type and content of each event, in order."""
        self._transactions: dict[tuple[str, str, str], EventId] = {}

    async def audience(self, room_id: RoomId) -> Audience:
        """Who left is told what they saw of the state, and no members."""
        self._call()
        room = self.homeserver.rooms.get(room_id)
        membership = None if room is None else room.membership(self.homeserver.user_id)
        if room is None or membership in (None, "invite"):
            raise FORBIDDEN
        encryption = room.state.get(("m.room.encryption", ""))
        if encryption is None:
            return Audience(frozenset())
        if membership != "join":
            raise FORBIDDEN
        visibility = room.state.get(("m.room.history_visibility", ""))
        return Audience(
            joined=frozenset(room.members()),
            invited=frozenset(room.members("invite")),
            encryption=encryption.content,
            history_visibility="shared" if visibility is None else visibility.content["history_visibility"],
        )

    async def send(self, room_id: RoomId, type_: str, content: Json, transaction_id: str) -> EventId:
        self._call()
        if (known := self._transactions.get((room_id, type_, transaction_id))) is not None:
            return known
        room = self.homeserver.rooms.get(room_id)
        if room is None or room.membership(self.homeserver.user_id) != "join":
            raise FORBIDDEN
        check_sent_event(type_, content)
        self._check_relation(room, content)
        self._check_power(room)
        event_id = self.homeserver.add(room_id, self.homeserver.user_id, type_, dict(content))
        self._transactions[room_id, type_, transaction_id] = event_id
        self.sent.append((room_id, type_, content))
        return event_id

    def _check_relation(self, room: FakeRoom, content: Json) -> None:
        relation, known = content.get("m.relates_to", {}), {event.event_id for _, event in room.events}
        if isinstance(relation.get("rel_type"), str) and relation.get("event_id") not in known:
            raise Refused(400, "M_UNKNOWN", "can't send relation to unknown event")

    def _check_power(self, room: FakeRoom) -> None:
        levels = room.state.get(("m.room.power_levels", ""))
        if levels is None:
            return
        own = levels.content.get("users", {}).get(self.homeserver.user_id, 0)
        if own < levels.content.get("events_default", 0):
            raise Refused(403, "M_FORBIDDEN", "you don't have permission to post that to the room")

    def _call(self) -> None:
        if self.homeserver.signed_out is not None:
            raise self.homeserver.signed_out
        if self.failures:
            raise self.failures.popleft()
