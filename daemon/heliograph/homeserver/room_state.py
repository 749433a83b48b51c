"""Fetches room facts by single requests that every homeserver answers: GET /rooms/{id}/state and /joined_members."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec

from heliograph.core.events import StrippedState
from heliograph.core.ids import NOBODY, RoomId, UserId, is_user_id
from heliograph.core.mxc import clean_mxc
from heliograph.core.room import RoomFacts
from heliograph.core.text.lookalikes import shows_something
from heliograph.errors import AnswerTooLarge, Refused
from heliograph.homeserver.address import segment
from heliograph.homeserver.bounds import MAX_INTEGER, is_integer
from heliograph.homeserver.decoding import decode_as, missing_is_refused, optional
from heliograph.homeserver.event import MAX_EVENT
from heliograph.homeserver.heroes import with_heroes
from heliograph.homeserver.session import Session
from heliograph.homeserver.sync_filter import STATE_TYPES
from heliograph.ports.homeserver import Member
from heliograph.system.tasks import together

_MAX_MEMBERS = 256 * 1024
"""In bytes, of two thousand members. For a larger room the count of its summary, which may lag behind, is enough."""
MAX_MEMBER_LIST = 1024 * 1024
"""In bytes, of some five thousand members with names and pictures."""
_FEW = 5


class _Members(msgspec.Struct):
    joined: dict[str, dict[str, Any] | None]


async def fetch_member(session: Session, room_id: RoomId, user_id: UserId) -> Member:
    """The name and avatar of a member; a blank Member if there is none, or the user may not look into the room."""
    content = await _fetch_state(session, room_id, "m.room.member", user_id) or {}
    return _read_member(content)


async def fetch_members(session: Session, room_id: RoomId) -> dict[UserId, Member] | None:
    """All who are in the room; None: the list is longer than MAX_MEMBER_LIST. Raises ServerError."""
    try:
        return await _fetch_joined(session, room_id, MAX_MEMBER_LIST)
    except AnswerTooLarge:
        return None


class RoomState:
    """Fetches the facts of rooms. `turns` bounds how many requests are under way at once."""

    def __init__(self, session: Session, turns: asyncio.Semaphore) -> None:
        self._session = session
        self._turns = turns

    async def fetch_facts(self, room_id: RoomId) -> RoomFacts | None:
        """The complete facts of a room; None: the user is not in that room. Raises ServerError."""
        me = self._session.user_id
        # First and alone: of a room that the user is not in, nothing else is asked.
        own = await self._state(room_id, "m.room.member", me)
        if own is None or own.content.get("membership") != "join":
            return None
        facts = RoomFacts(room_id, power_levels={}).after(own, me)
        types = [type_ for type_ in STATE_TYPES if type_ != "m.room.member"]
        for event in await together(self._state(room_id, type_, "") for type_ in types):
            if event is not None:
                facts = facts.after(event, me)
        return replace(await self._with_members(facts), is_complete=True)

    async def _state(self, room_id: RoomId, type_: str, state_key: str) -> StrippedState | None:
        async with self._turns:
            # m.room.create is asked for as a whole event: since room version 12 its sender has rights of its own.
            # Servers that know no `format` send the content alone.
            is_event = type_ == "m.room.create"
            answer = await _fetch_state(self._session, room_id, type_, state_key, "event" if is_event else "content")
        if answer is None:
            return None
        sender = optional(answer, str, "sender", "creator")
        content = optional(answer, dict, "content") if is_event else None
        return StrippedState(
            type_, state_key, sender if is_user_id(sender) else NOBODY, answer if content is None else content, {}
        )

    async def _with_members(self, facts: RoomFacts) -> RoomFacts:
        try:
            async with self._turns:
                joined = await _fetch_joined(self._session, facts.room_id, _MAX_MEMBERS)
        except AnswerTooLarge:
            return replace(facts, joined_member_count=await self._summary_count(facts.room_id))
        except Refused:
            return facts
        # A nameless room is named after a few of these. Sorted, so that it keeps its title.
        few = sorted(joined)[: 2 * _FEW]
        facts = with_heroes(facts, ((user_id, joined[user_id]) for user_id in few), self._session.user_id)
        return replace(facts, joined_member_count=len(joined))

    async def _summary_count(self, room_id: RoomId) -> int | None:
        path = f"/_matrix/client/v1/room_summary/{segment(room_id)}"
        try:
            with missing_is_refused():
                async with self._turns:
                    answer = decode_as(dict[str, Any], await self._session.request("GET", path))
        except Refused:
            return None
        count = answer.get("num_joined_members")
        return min(max(count, 0), MAX_INTEGER) if is_integer(count) else None


async def _fetch_joined(session: Session, room_id: RoomId, limit: int) -> dict[UserId, Member]:
    """All who are in the room. Raises ServerError, and AnswerTooLarge beyond `limit` bytes."""
    path = f"/_matrix/client/v3/rooms/{segment(room_id)}/joined_members"
    joined = decode_as(_Members, await session.request("GET", path, limit=limit)).joined
    return {user_id: _read_member(each or {}) for user_id, each in joined.items() if is_user_id(user_id)}


def _read_member(content: dict[str, Any]) -> Member:
    # `display_name` in the answer about all members, `displayname` in the state event.
    name = optional(content, str, "display_name", "displayname")
    return Member(name if name and shows_something(name) else None, clean_mxc(content.get("avatar_url")))


async def _fetch_state(
    session: Session, room_id: RoomId, type_: str, state_key: str, format_: str = "content"
) -> dict[str, Any] | None:
    """The state as a JSON object; None: there is none, or it is larger than any event, or the user may not look into
    the room. Raises ServerError."""
    path = f"/_matrix/client/v3/rooms/{segment(room_id)}/state/{segment(type_)}/{segment(state_key)}"
    query = {} if format_ == "content" else {"format": format_}
    try:
        return decode_as(dict[str, Any], await session.request("GET", path, query=query, limit=MAX_EVENT))
    except AnswerTooLarge:
        return None
    except Refused as refusal:
        if refusal.status in (403, 404):
            return None
        raise
