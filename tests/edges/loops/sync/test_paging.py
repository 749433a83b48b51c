"""Rooms are paged back where a list tells too little: encrypted ones, and those with something open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edges.loops.stage import SyncStage, WallClock, running
from edges.loops.sync.absence import MANY, Absence, GappyHomeserver, all_ring, missed_and_known
from fakes.ledger import FakeLedger
from heliograph.core.delivery import State
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import JoinedRoom
from heliograph.core.ids import EventId, RoomId
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.record import GAP, Decision, Judged, Plan
from heliograph.core.sync.gaps import LISTED_MS
from heliograph.loops.sync.paging import (
    MAX_BYTES_OF_ALL,
    MAX_PAGES,
    MAX_PAGES_OF_ALL,
    NO_BEGINNING,
    PATIENCE_S,
    TOO_MUCH,
    TOO_SLOW,
    Pager,
)
from heliograph.ports.homeserver import Features, MessagesPage
from support.builders import ME, make_encrypted, make_event
from support.waiting import until


@pytest.fixture
def homeserver() -> GappyHomeserver:
    return GappyHomeserver()


@pytest.fixture
def absence(clock: WallClock, homeserver: GappyHomeserver) -> Absence:
    return Absence(clock, homeserver)


def encrypt(absence: Absence, room: RoomId, content: dict[str, Any]) -> None:
    """Alice sends this encrypted, with a key that is known."""
    clear = make_event(room_id=room, content=content)
    absence.stage.encryption.keys.add(RoomKey(room, "session"))
    absence.homeserver.add(room, clear.sender, "m.room.encrypted", dict(make_encrypted(clear).content))


async def flood(absence: Absence, room: RoomId) -> None:
    """What more than fills a sync and rings no more than its words let it."""
    for number in range(MANY):
        encrypt(absence, room, {"msgtype": "m.text", "body": f"flood {number}"})


async def encrypted_room(absence: Absence) -> RoomId:
    """An encrypted room in which nothing is open."""
    room = await absence.before(is_read=True)
    await absence.stage.alice.send_state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    return room


async def settle(stage: SyncStage) -> None:
    """Runs the loop until it has caught up."""
    async with running(stage.loop):
        await stage.connected()


def is_direct(stage: SyncStage, *, is_listing: bool) -> None:
    stage.homeserver.told = Features(has_direct_push=True)
    stage.is_listing = is_listing


@pytest.mark.parametrize("is_listing", [None, False, True])
async def test_a_mention_that_only_its_clear_text_tells_rings_from_a_gap(
    absence: Absence, is_listing: bool | None
) -> None:
    room = await encrypted_room(absence)
    encrypt(absence, room, {"msgtype": "m.text", "body": "to you", "m.mentions": {"user_ids": [ME]}})
    await flood(absence, room)
    again = absence.back()
    mentions_only = [{"rule_id": room, "default": False, "enabled": True, "actions": []}]
    again.homeserver.add_account_data("m.push_rules", {"global": {**predefined_rules(ME), "room": mentions_only}})
    if is_listing is not None:
        is_direct(again, is_listing=is_listing)
    await settle(again)
    assert again.rung == ["to you"]
    assert again.troubles == []


@pytest.mark.parametrize("is_listing", [None, False, True])
async def test_what_was_deleted_or_edited_in_a_gap_is_taken_back_or_reworded(
    absence: Absence, is_listing: bool | None
) -> None:
    room = await absence.before()
    async with running(absence.stage.loop):
        edited = await absence.stage.hears(room, "as it was")
    relation = {"m.relates_to": {"rel_type": "m.replace", "event_id": edited}}
    words = {"msgtype": "m.text", "body": "as it is"}
    await absence.stage.alice.redact(room, absence.known)
    await absence.stage.alice.send_event(room, "m.room.message", {**words, **relation, "m.new_content": words})
    for number in range(MANY):
        await absence.stage.alice.send_event(room, "m.room.message", {"msgtype": "m.notice", "body": f"flood {number}"})
    again = absence.back()
    if is_listing is not None:
        is_direct(again, is_listing=is_listing)
    await settle(again)
    assert again.ledger.deliveries[absence.known].state is State.CANCELLED
    assert "as it is" in again.rung
    assert "as it was" not in again.rung


async def test_what_came_in_a_gap_while_nothing_was_listed_rings(absence: Absence) -> None:
    room = await absence.before(is_read=True)
    await absence.miss(room)
    again = absence.back()
    is_direct(again, is_listing=False)
    await all_ring(again)
    assert again.rung == missed_and_known()[1:]


async def test_a_list_that_may_have_forgotten_some_is_not_relied_on(
    absence: Absence, clock: WallClock, homeserver: GappyHomeserver
) -> None:
    room = await absence.before(is_read=True)
    clock.jump(LISTED_MS / 1000)
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == missed_and_known()[1:]
    assert homeserver.pages > 0


@pytest.mark.expected_log(f"more in !room1:example.org, which could not be fetched: {NO_BEGINNING}", times=2)
async def test_a_gap_that_stays_open_is_kept_for_its_explanation_and_told_once(
    absence: Absence, homeserver: GappyHomeserver
) -> None:
    room = await absence.before()
    homeserver.tells_beginnings = False
    again = absence.back()
    async with running(again.loop):
        await again.connected()
        for number in range(1, 3):
            await absence.miss(room)
            await until_gaps(again.ledger, number)
    assert [title for title, _ in again.troubles] == ["There may be more in Lunch"]
    assert {each.reason for each in gaps(again.ledger)} == {NO_BEGINNING}


async def until_gaps(ledger: FakeLedger, number: int) -> None:
    await until(lambda: len(gaps(ledger)) == number, f"{number} gaps")


def gaps(ledger: FakeLedger) -> list[Judged]:
    return [each for each in ledger.judged.values() if each.event_id.startswith(f"{GAP}:")]


class EndlessHomeserver(GappyHomeserver):
    """Whose rooms go on for ever, page by page."""

    def __init__(self) -> None:
        super().__init__()
        self.page_bytes = 0
        self.page_s = 0.0
        self.asked: list[RoomId] = []
        self.event_id = EventId("$listed")

    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        self.asked.append(room_id)
        await asyncio.sleep(self.page_s)
        return MessagesPage(
            (make_event(room_id=room_id, event_id=self.event_id),), f"p{len(self.asked)}", self.page_bytes
        )


@pytest.fixture
def endless() -> EndlessHomeserver:
    return EndlessHomeserver()


async def page_back(homeserver: EndlessHomeserver, rooms: int, ledger: FakeLedger | None = None) -> list[JoinedRoom]:
    pager = Pager(homeserver, ledger or FakeLedger(), lambda: None)
    limited = [JoinedRoom(RoomId(f"!{number}:example.org"), limited=True, prev_batch="p") for number in range(rooms)]
    return list((await pager.page_back(limited, None, None, is_last_try=False)).values())


async def test_a_room_is_paged_back_so_far_and_no_further(endless: EndlessHomeserver) -> None:
    (room,) = await page_back(endless, 1)
    assert len(endless.asked) == len(room.timeline) == MAX_PAGES
    assert room.gap == TOO_MUCH


async def test_rooms_take_turns_and_share_what_is_asked_for(endless: EndlessHomeserver) -> None:
    rooms = await page_back(endless, MAX_PAGES_OF_ALL)
    assert {len(room.timeline) for room in rooms} == {1}
    assert len(endless.asked) == MAX_PAGES_OF_ALL


async def test_the_bytes_of_all_rooms_are_bounded(endless: EndlessHomeserver) -> None:
    endless.page_bytes = MAX_BYTES_OF_ALL // 2
    rooms = await page_back(endless, 3)
    assert len(endless.asked) == 2
    assert [room.gap for room in rooms] == [TOO_MUCH] * 3


async def test_a_homeserver_that_is_slow_is_waited_for_so_long(endless: EndlessHomeserver) -> None:
    endless.page_s = PATIENCE_S * 0.4
    (room,) = await page_back(endless, 1)
    assert len(room.timeline) == 2
    assert room.gap == TOO_SLOW


async def test_what_a_list_told_of_ends_no_gap(endless: EndlessHomeserver) -> None:
    ledger = FakeLedger()
    told = endless.event_id
    await ledger.commit(Plan("s1", judged=(Judged(told, None, Decision.RING, ""),)), 0)
    (room,) = await page_back(endless, 1, ledger)
    assert room.gap == TOO_MUCH
    await ledger.commit(Plan("s2", timelines=((told,),)), 0)
    (room,) = await page_back(endless, 1, ledger)
    assert room.gap == ""
