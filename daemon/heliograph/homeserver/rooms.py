"""Implements `ports.homeserver.Rooms`: sends into a room, and tells who would read that."""

from __future__ import annotations

from typing import Any

import msgspec

from heliograph.core.events import Json
from heliograph.core.ids import EventId, RoomId, is_event_id, is_user_id
from heliograph.errors import AnswerTooLarge, BadAnswer, Refused, UserError
from heliograph.homeserver.address import segment
from heliograph.homeserver.decoding import decode_as, optional
from heliograph.homeserver.event import MAX_EVENT
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import Audience

MAX_MEMBERS = 256 * 1024
"""In bytes, of two thousand members: to more devices than theirs a reply would take too long to encrypt."""

_CLIENT = "/_matrix/client/v3"


class _Joined(msgspec.Struct):
    joined: dict[str, Any]


class _Members(msgspec.Struct):
    chunk: list[dict[str, Any]] = []


class RoomsClient:
    """A `ports.homeserver.Rooms` over a session that is signed in."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def audience(self, room_id: RoomId) -> Audience:
        encryption = await self._state(room_id, "m.room.encryption")
        # Who reads a plain room is not asked: nothing has to be encrypted for them.
        # Test: test_a_room_without_encryption_says_so_however_many_are_in_it.
        if encryption is None:
            return Audience(frozenset())
        visibility = optional(await self._state(room_id, "m.room.history_visibility") or {}, str, "history_visibility")
        path = f"{_CLIENT}/rooms/{segment(room_id)}"
        try:
            joined = decode_as(_Joined, await self._session.request("GET", f"{path}/joined_members", limit=MAX_MEMBERS))
            query = {"membership": "invite"}
            # By /members, since /joined_members has no invited ones.
            # Test: test_an_encrypted_room_tells_who_is_in_it_and_who_is_invited.
            invited = decode_as(
                _Members, await self._session.request("GET", f"{path}/members", query=query, limit=4 * MAX_MEMBERS)
            )
        except AnswerTooLarge as error:
            raise UserError(
                "This room has too many members to encrypt a message for each of their devices.",
                "Reply in your Matrix client.",
            ) from error
        return Audience(
            joined=frozenset(user for user in joined.joined if is_user_id(user)),
            invited=frozenset(user for event in invited.chunk if is_user_id(user := event.get("state_key"))),
            encryption=encryption,
            # The default by https://spec.matrix.org/v1.18/client-server-api/#server-behaviour-5
            history_visibility=visibility or "shared",
        )

    async def send(self, room_id: RoomId, type_: str, content: Json, transaction_id: str) -> EventId:
        path = f"{_CLIENT}/rooms/{segment(room_id)}/send/{segment(type_)}/{segment(transaction_id)}"
        answer = await self._session.request("PUT", path, body=content)
        event_id = optional(decode_as(dict[str, Any], answer), str, "event_id")
        if not is_event_id(event_id):
            raise BadAnswer(200, "the homeserver sent no event id")
        return event_id

    async def _state(self, room_id: RoomId, type_: str) -> Json | None:
        path = f"{_CLIENT}/rooms/{segment(room_id)}/state/{segment(type_)}/"
        try:
            return decode_as(dict[str, Any], await self._session.request("GET", path, limit=MAX_EVENT))
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
