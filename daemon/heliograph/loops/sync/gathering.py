"""Asks the homeserver for the room facts and display names that a plan needs, and the ledger does not have yet.

Each is asked for once: the planner keeps the answers in the ledger, and state events keep them current.
Test: test_the_facts_of_a_room_are_asked_for_once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from heliograph.core.ids import RoomId, UserId
from heliograph.core.record import RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.core.text.clean import count_things
from heliograph.errors import HeliographError, RateLimited, Refused, ServerError, Unreachable
from heliograph.ports.homeserver import Homeserver, Member

log = logging.getLogger(__name__)

TRIES = 3
"""How often a sync is held back because room facts could not be had, before it rings without them."""
ROOMS_AT_ONCE = 50
MAX_NAMES = 50
"""Display names asked for in one sync; further senders show as user ids."""
MOST_MEMBERS = 5000
"""The most members of a room whose names are compared with one another. In larger rooms user ids stand beside them."""
_LISTS_AT_ONCE = 4


class FactGatherer:
    """Asks for one account. `on_progress` is called after each request."""

    def __init__(self, homeserver: Homeserver, on_progress: Callable[[], None]) -> None:
        self._homeserver = homeserver
        self._on_progress = on_progress
        self._failures = 0
        self._refused: set[RoomId] = set()
        """Rooms of which the homeserver tells nothing, or no member after whom they could be named."""
        self._unlisted: set[RoomId] = set()
        """Rooms of whose members the homeserver tells no list, or too long a one."""

    def forget(self, left: Collection[RoomId]) -> None:
        """The user left these rooms: a homeserver that refused their facts may tell them after another join."""
        self._refused.difference_update(left)
        self._unlisted.difference_update(left)

    async def ask_rooms(
        self, wanted: Collection[RoomId], rooms: Mapping[RoomId, RoomRecord]
    ) -> dict[RoomId, RoomRecord]:
        """Records with complete facts, of those of the `wanted` rooms that the server tells about.

        Raises Unreachable and RateLimited up to `TRIES` times in a row, since another try may help; then some rooms
        ring without their facts.
        """
        # A room that was refused once is not asked for at every sync: it rings without its facts.
        wanted = [room_id for room_id in wanted if room_id not in self._refused]
        if not wanted:
            return {}
        answers: dict[RoomId, RoomFacts] = {}
        try:
            for start in range(0, len(wanted), ROOMS_AT_ONCE):
                answers |= await self._ask(wanted[start : start + ROOMS_AT_ONCE])
                self._on_progress()
        except (Unreachable, RateLimited) as trouble:
            self._failures += 1
            if self._failures < TRIES:
                raise
            log.warning("Going on without the facts of %s: %s", count_things(len(wanted), "room"), trouble)
            self._failures = 0
            return {room_id: merge_facts(rooms.get(room_id), facts) for room_id, facts in answers.items()}
        except Refused as refusal:
            untold = count_things(len(wanted) - len(answers), "room")
            log.warning("The homeserver tells nothing about %s: %s", untold, refusal)
        self._failures = 0
        # A room that is left out of an answer counts as refused: asked again, it would be left out again.
        self._refused.update(room_id for room_id in wanted if room_id not in answers or answers[room_id].lacks_heroes)
        return {room_id: merge_facts(rooms.get(room_id), facts) for room_id, facts in answers.items()}

    async def _ask(self, room_ids: list[RoomId]) -> dict[RoomId, RoomFacts]:
        """The facts by room. A room in which a fault of ours shows is left out, and rings without its facts."""
        try:
            return await self._homeserver.room_facts(room_ids)
        except HeliographError:
            raise
        except Exception:
            log.exception("Unexpected fault in asking for the facts of %s", count_things(len(room_ids), "room"))
        alone = [await self._ask([room_id]) for room_id in room_ids] if len(room_ids) > 1 else []
        return {room_id: facts for told in alone for room_id, facts in told.items()}

    async def ask_names(
        self, missing: Collection[tuple[RoomId, UserId]], rooms: Mapping[RoomId, RoomRecord]
    ) -> dict[RoomId, RoomRecord]:
        """Records that have the display names of these (room id, user id), compared with those of the other members
        where the homeserver tells of all. A name that cannot be had counts as none."""
        wanted: dict[RoomId, list[UserId]] = {}
        for room_id, user_id in sorted(missing)[:MAX_NAMES]:
            wanted.setdefault(room_id, []).append(user_id)
        before = {room_id: rooms.get(room_id) or RoomRecord(RoomFacts(room_id)) for room_id in wanted}
        turns = asyncio.Semaphore(_LISTS_AT_ONCE)
        facts = await asyncio.gather(
            *(self._name(before[room_id].facts, users, turns) for room_id, users in wanted.items())
        )
        named = {each.room_id: replace(before[each.room_id], facts=each) for each in facts}
        return {room_id: record for room_id, record in named.items() if record != before[room_id]}

    async def _name(self, facts: RoomFacts, users: Sequence[UserId], turns: asyncio.Semaphore) -> RoomFacts:
        async with turns:
            members = None if facts.is_between_two else await self._ask_members(facts)
            if members is not None:
                for user_id in users:
                    member = members.get(user_id, Member())
                    facts = facts.with_name(user_id, member.name, member.avatar_url)
                return facts.with_compared({user: each.name or "" for user, each in members.items()}, users)
            for user_id in users:
                if user_id not in facts.names:
                    member = await self._ask_member(facts.room_id, user_id)
                    facts = facts.with_name(user_id, member.name, member.avatar_url)
            return facts

    async def _ask_members(self, facts: RoomFacts) -> Mapping[UserId, Member] | None:
        """All who are in the room; None: they cannot be had, so user ids stand beside the names."""
        room_id = facts.room_id
        if room_id in self._unlisted or (facts.joined_member_count or 0) > MOST_MEMBERS:
            return None
        try:
            members = await self._homeserver.joined_members(room_id)
        except (Unreachable, RateLimited) as trouble:
            log.info("No list of members of %s: %s", room_id, trouble)
            return None
        except ServerError as trouble:
            log.info("No list of members of %s: %s", room_id, trouble)
            members = None
        except Exception:
            log.exception("Unexpected fault in asking for the members of %s", room_id)
            members = None
        if members is None:
            self._unlisted.add(room_id)
        return members

    async def _ask_member(self, room_id: RoomId, user_id: UserId) -> Member:
        try:
            return await self._homeserver.member(room_id, user_id)
        except ServerError as trouble:
            log.info("No display name for a sender in %s: %s", room_id, trouble)
        except Exception:
            log.exception("Unexpected fault in asking for a display name in %s", room_id)
        return Member()


def merge_facts(record: RoomRecord | None, facts: RoomFacts) -> RoomRecord:
    """The record with fresh facts, but for the further names that it knows, how they compare, and who invited the
    user."""
    if record is None:
        # Their own membership may say who invited the user, however long ago.
        return RoomRecord(replace(facts, stranger=None))
    names = {**record.facts.names, **facts.names}
    avatars = {user: url for user, url in record.facts.avatars.items() if user not in facts.names} | dict(facts.avatars)
    known = record.facts
    facts = replace(facts, names=names, avatars=avatars, inviter=known.inviter, stranger=known.stranger)
    return replace(record, facts=replace(facts, holders=known.holders))
