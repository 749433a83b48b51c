"""Asks the homeserver for the room facts and display names that a plan needs, and the ledger does not have yet.

Each is asked for once: the planner keeps the answers in the ledger, and state events keep them current.
Test: test_the_facts_of_a_room_are_asked_for_once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
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


class FactGatherer:
    """Asks for one account. `on_progress` is called after each request."""

    def __init__(self, homeserver: Homeserver, on_progress: Callable[[], None]) -> None:
        self._homeserver = homeserver
        self._on_progress = on_progress
        self._failures = 0
        self._refused: set[RoomId] = set()

    def forget(self, left: Collection[RoomId]) -> None:
        """The user left these rooms: a homeserver that refused their facts may tell them after another join."""
        self._refused.difference_update(left)

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
            return {room_id: _merge(rooms.get(room_id), facts) for room_id, facts in answers.items()}
        except Refused as refusal:
            untold = count_things(len(wanted) - len(answers), "room")
            log.warning("The homeserver tells nothing about %s: %s", untold, refusal)
        self._failures = 0
        # A room that is left out of an answer counts as refused: asked again, it would be left out again.
        self._refused.update(room_id for room_id in wanted if room_id not in answers)
        return {room_id: _merge(rooms.get(room_id), facts) for room_id, facts in answers.items()}

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
        """Records that have the display names of these (room id, user id). A name that cannot be had counts as none."""
        asked = sorted(missing)[:MAX_NAMES]
        members = await asyncio.gather(*(self._ask_member(room_id, user_id) for room_id, user_id in asked))
        records: dict[RoomId, RoomRecord] = {}
        for (room_id, user_id), member in zip(asked, members, strict=True):
            record = records.get(room_id) or rooms.get(room_id) or RoomRecord(RoomFacts(room_id))
            records[room_id] = replace(record, facts=record.facts.with_name(user_id, member.name, member.avatar_url))
        return records

    async def _ask_member(self, room_id: RoomId, user_id: UserId) -> Member:
        try:
            return await self._homeserver.member(room_id, user_id)
        except ServerError as trouble:
            log.info("No display name for a sender in %s: %s", room_id, trouble)
        except Exception:
            log.exception("Unexpected fault in asking for a display name in %s", room_id)
        return Member()


def _merge(record: RoomRecord | None, facts: RoomFacts) -> RoomRecord:
    """The fresh facts, with the further names that the old record knows, and who invited the user."""
    if record is None:
        return RoomRecord(facts)
    names = {**record.facts.names, **facts.names}
    avatars = {user: url for user, url in record.facts.avatars.items() if user not in facts.names} | dict(facts.avatars)
    return replace(record, facts=replace(facts, names=names, avatars=avatars, inviter=record.facts.inviter))
