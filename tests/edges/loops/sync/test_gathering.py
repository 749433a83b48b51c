"""Room facts and names: asked for once, and never what a sync must wait for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from fakes.homeserver import FakeHomeserver
from heliograph.core.ids import RoomId, UserId
from heliograph.core.record import RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.errors import LoggedOut, RateLimited, Refused, Unreachable
from heliograph.loops.sync.gathering import MAX_NAMES, MOST_MEMBERS, ROOMS_AT_ONCE, TRIES, FactGatherer
from heliograph.ports.homeserver import Member
from support.builders import ALICE, BOB, ME, ROOM, make_facts

FORBIDDEN = Refused(403, "M_FORBIDDEN", "not in this room")


@pytest.fixture
def homeserver() -> FakeHomeserver:
    return FakeHomeserver(ME)


@pytest.fixture
def gatherer(homeserver: FakeHomeserver) -> FactGatherer:
    return FactGatherer(homeserver, lambda: None)


async def make_room(homeserver: FakeHomeserver, name: str = "Lunch") -> RoomId:
    room = await homeserver.user(ALICE).create_room(name, invite=[homeserver.user(ME)])
    await homeserver.user(ME).join(room)
    return room


async def test_facts_keep_what_only_we_know(homeserver: FakeHomeserver, gatherer: FactGatherer) -> None:
    room = await make_room(homeserver)
    known = RoomRecord(RoomFacts(room, names={BOB: "Bob"}, inviter=ALICE), invite_serial=3)
    record = (await gatherer.ask_rooms([room], {room: known}))[room]
    assert (record.facts.name, record.facts.names[BOB], record.facts.inviter) == ("Lunch", "Bob", ALICE)
    assert (record.facts.is_complete, record.invite_serial) == (True, 3)


async def test_who_invited_the_user_long_ago_is_no_stranger() -> None:
    class Telling(FakeHomeserver):
        async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
            return {room_id: make_facts(room_id, stranger=ALICE) for room_id in room_ids}

    told = await FactGatherer(Telling(ME), lambda: None).ask_rooms([ROOM], {})
    assert told[ROOM].facts.stranger is None


async def test_many_rooms_are_asked_in_portions(homeserver: FakeHomeserver) -> None:
    progress: list[None] = []
    gatherer = FactGatherer(homeserver, lambda: progress.append(None))
    rooms = [await make_room(homeserver) for _ in range(2 * ROOMS_AT_ONCE + 1)]
    told = await gatherer.ask_rooms(rooms, {})
    assert set(told) == set(rooms)
    assert [len(each) for each in homeserver.fact_requests] == [ROOMS_AT_ONCE, ROOMS_AT_ONCE, 1]
    assert len(progress) == 3


@pytest.mark.expected_log("Going on without the facts of 1 room: ")
@pytest.mark.parametrize("failure", [Unreachable("down"), RateLimited("busy", 1)])
async def test_a_sync_is_held_back_a_few_times_then_rings_without_facts(
    homeserver: FakeHomeserver, gatherer: FactGatherer, failure: Exception
) -> None:
    room = await make_room(homeserver)
    homeserver.failures.extend([failure] * TRIES)  # type: ignore[list-item]
    for _ in range(TRIES - 1):
        with pytest.raises(type(failure)):
            await gatherer.ask_rooms([room], {})
    assert await gatherer.ask_rooms([room], {}) == {}
    assert room in await gatherer.ask_rooms([room], {})


async def test_a_room_that_is_not_told_about_is_asked_for_once(
    homeserver: FakeHomeserver, gatherer: FactGatherer
) -> None:
    for _ in range(3):
        assert await gatherer.ask_rooms([ROOM], {}) == {}
    assert len(homeserver.fact_requests) == 1


async def test_a_room_that_was_left_is_asked_for_again(homeserver: FakeHomeserver, gatherer: FactGatherer) -> None:
    room = await make_room(homeserver)
    await homeserver.user(ME).leave(room)
    assert await gatherer.ask_rooms([room], {}) == {}
    gatherer.forget([room])
    await homeserver.user(ME).join(room)
    assert room in await gatherer.ask_rooms([room], {})


@pytest.mark.expected_log("The homeserver tells nothing about 1 room: ")
async def test_a_refusal_costs_the_rooms_that_were_told_nothing(
    homeserver: FakeHomeserver, gatherer: FactGatherer
) -> None:
    rooms = [await make_room(homeserver) for _ in range(ROOMS_AT_ONCE)]
    told = await gatherer.ask_rooms(rooms, {})
    homeserver.failures.append(FORBIDDEN)
    assert await gatherer.ask_rooms([ROOM], {}) == {}
    assert len(told) == ROOMS_AT_ONCE


async def test_being_signed_out_is_not_passed_over(homeserver: FakeHomeserver, gatherer: FactGatherer) -> None:
    homeserver.failures.append(LoggedOut(soft=True))
    with pytest.raises(LoggedOut):
        await gatherer.ask_rooms([ROOM], {})


async def test_names_that_cannot_be_had_count_as_missing(homeserver: FakeHomeserver, gatherer: FactGatherer) -> None:
    room = await make_room(homeserver)
    homeserver.failures += [Unreachable("down")] * 2
    asked = [(room, ALICE), (room, BOB)]
    told = await gatherer.ask_names(asked, {room: RoomRecord(make_facts(room, names={}))})
    assert told[room].facts.names == {ALICE: "", BOB: ""}


async def test_a_name_is_compared_with_those_of_all_members(homeserver: FakeHomeserver, gatherer: FactGatherer) -> None:
    homeserver.set_name(BOB, "ALICE")
    room = await homeserver.user(ALICE).create_room("Lunch", invite=[homeserver.user(ME), homeserver.user(BOB)])
    for user_id in (ME, BOB):
        await homeserver.user(user_id).join(room)
    known = {room: RoomRecord(make_facts(room, names={ALICE: "alice"}, holders={}))}
    (record,) = (await gatherer.ask_names([(room, ALICE)], known)).values()
    assert record.facts.name_of(ALICE) == f"alice ({ALICE})"
    assert not record.facts.wants_comparing(ALICE)
    await homeserver.user(BOB).leave(room)
    (record,) = (await gatherer.ask_names([(room, ALICE)], known)).values()
    assert record.facts.name_of(ALICE) == "alice"


class BusyHomeserver(FakeHomeserver):
    """Counts how often it was asked for all members, and tells of none."""

    def __init__(self, answer: Exception | None) -> None:
        super().__init__(ME)
        self.answer = answer
        self.asked = 0

    async def joined_members(self, room_id: RoomId) -> Mapping[UserId, Member] | None:
        self.asked += 1
        if self.answer is not None:
            raise self.answer
        return None


@pytest.mark.expected_log("Unexpected fault in asking for the members of ", times=(0, 1))
@pytest.mark.parametrize(
    ("answer", "times"), [(None, 1), (FORBIDDEN, 1), (ValueError("ours"), 1), (Unreachable("down"), 2)]
)
async def test_members_that_are_not_told_are_asked_for_once(answer: Exception | None, times: int) -> None:
    homeserver = BusyHomeserver(answer)
    room = await make_room(homeserver)
    gatherer = FactGatherer(homeserver, lambda: None)
    known = {room: RoomRecord(make_facts(room, holders={}))}
    for _ in range(2):
        assert await gatherer.ask_names([(room, ALICE)], known) == {}
    assert homeserver.asked == times


async def test_in_a_crowd_no_list_of_members_is_asked_for() -> None:
    homeserver = BusyHomeserver(None)
    room = await make_room(homeserver)
    facts = make_facts(room, joined_member_count=MOST_MEMBERS + 1, holders={})
    assert await FactGatherer(homeserver, lambda: None).ask_names([(room, ALICE)], {room: RoomRecord(facts)}) == {}
    assert homeserver.asked == 0


class ForgetfulHomeserver(FakeHomeserver):
    """Knows no heroes."""

    async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        told = await super().room_facts(room_ids)
        return {room_id: replace(facts, heroes=()) for room_id, facts in told.items()}


async def test_a_room_after_whom_nobody_can_be_named_is_asked_for_once() -> None:
    homeserver = ForgetfulHomeserver(ME)
    room = await homeserver.user(ALICE).create_room(None, invite=[homeserver.user(ME)])
    await homeserver.user(ME).join(room)
    gatherer = FactGatherer(homeserver, lambda: None)
    assert (await gatherer.ask_rooms([room], {}))[room].facts.lacks_heroes
    assert await gatherer.ask_rooms([room], {}) == {}


async def test_names_of_a_crowd_are_not_all_asked_for(homeserver: FakeHomeserver, gatherer: FactGatherer) -> None:
    room = await make_room(homeserver)
    crowd = [(room, UserId(f"@user{n}:example.org")) for n in range(1000)]
    told = await gatherer.ask_names(crowd, {})
    assert len(told[room].facts.names) == MAX_NAMES


class SecretiveHomeserver(FakeHomeserver):
    async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        raise FORBIDDEN


@pytest.mark.expected_log("The homeserver tells nothing about 1 room: ")
async def test_a_message_rings_even_if_its_room_tells_nothing(clock: WallClock) -> None:
    stage = SyncStage(clock, homeserver=SecretiveHomeserver(ME))
    room = await stage.room()
    async with running(stage.loop):
        await stage.connected()
        await stage.hears(room, "hello")
