"""Implements `ports.homeserver.RoomActions`: marks rooms as read, joins and leaves them, changes push rules."""

from __future__ import annotations

from typing import Any

from heliograph.core.events import Json
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.push.rule_change import RuleChange
from heliograph.errors import Refused
from heliograph.homeserver.address import segment
from heliograph.homeserver.decoding import decode_as
from heliograph.homeserver.push_rules import change_push_rules, fetch_push_rules
from heliograph.homeserver.session import Session

_CLIENT = "/_matrix/client/v3"
_JOIN_S = 120.0
"""A room on another server has to be fetched from there first."""
_MAX_ROOMS = 1_000
"""The most conversations with one user that are written to m.direct, which is sent whole each time."""


class RoomActionsClient:
    """A `ports.homeserver.RoomActions` over a session that is signed in."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.user_id = session.user_id

    async def mark_read(self, room_id: RoomId, event_id: EventId, *, is_public: bool) -> None:
        # One request for the receipt and for the marker that clients show as a line. Without a thread, the receipt
        # covers all threads: https://spec.matrix.org/v1.18/client-server-api/#receipts
        # Test: test_mark_as_read_is_private_and_covers_threads.
        receipt = "m.read" if is_public else "m.read.private"
        body = {"m.fully_read": event_id, receipt: event_id}
        await self._session.request("POST", f"{_CLIENT}/rooms/{segment(room_id)}/read_markers", body=body)

    async def join(self, room_id: RoomId) -> None:
        await self._session.request("POST", f"{_CLIENT}/rooms/{segment(room_id)}/join", body={}, timeout_s=_JOIN_S)

    async def leave(self, room_id: RoomId) -> None:
        try:
            await self._session.request("POST", f"{_CLIENT}/rooms/{segment(room_id)}/leave", body={}, timeout_s=_JOIN_S)
        except Refused as refusal:
            # 403 (Synapse): the invite was withdrawn meanwhile. 404: the room is gone. Either way the user is out.
            # Test: test_a_room_that_is_gone_is_left.
            if refusal.status not in (403, 404) or refusal.is_unrecognized:
                raise

    async def add_direct(self, room_id: RoomId, user_id: UserId) -> None:
        path = f"{_CLIENT}/user/{segment(self.user_id)}/account_data/m.direct"
        # Read right before it is written: the API has no way to add to it, and another client may have changed it.
        # Test: test_conversations_that_cannot_be_read_are_not_overwritten.
        try:
            direct = decode_as(dict[str, Any], await self._session.request("GET", path))
        except Refused as refusal:
            if refusal.status != 404:
                raise
            direct = {}
        rooms = direct.get(user_id)
        rooms = rooms if isinstance(rooms, list) else []
        if room_id not in rooms:
            await self._session.request("PUT", path, body={**direct, user_id: [*rooms, room_id][-_MAX_ROOMS:]})

    async def push_rules(self) -> Json:
        rules: Json = (await fetch_push_rules(self._session))["global"]
        return rules

    async def change_push_rules(self, change: RuleChange) -> None:
        await change_push_rules(self._session, change)
