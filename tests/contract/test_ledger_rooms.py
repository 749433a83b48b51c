"""What a ledger knows of rooms: their facts, what is open and unread in them, and their mutes."""

from __future__ import annotations

import pytest

from contract.ledgers import OTHER_ROOM, count, make_judged, make_plan, show
from heliograph.core.delivery import Move, State
from heliograph.core.ids import NO_ROOM, NOBODY, EventId, RoomId, UserId
from heliograph.core.notification import Category
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.record import (
    UNLISTED,
    Decision,
    Plan,
    RoomRecord,
    Withdrawal,
)
from heliograph.core.room import RoomFacts
from heliograph.core.summary.unread import UnreadMessage
from heliograph.ports.ledger import Ledger, Settlement
from support.builders import ALICE, BOB, ROOM, make_content, make_delivery, make_facts

# Rooms


async def test_only_known_rooms_are_told_of(ledger: Ledger) -> None:
    record = RoomRecord(make_facts(names={}), invite_serial=3)
    await ledger.commit(Plan("s2", rooms=(record,)), 1)

    assert await ledger.rooms([ROOM, OTHER_ROOM], []) == {ROOM: record}


async def test_facts_come_back_as_they_were_kept(ledger: Ledger) -> None:
    facts = RoomFacts(
        room_id=ROOM,
        is_complete=True,
        name="Küche",
        canonical_alias="#k:example.org",
        avatar_url="mxc://example.org/k",
        is_encrypted=True,
        room_version="12",
        creators=frozenset({ALICE, BOB}),
        power_levels={"users": {ALICE: 100, BOB: 2**70}, "notifications": {"room": 50}, "odd": [None, 1.5, "x"]},
        is_space=True,
        joined_member_count=7,
        invited_member_count=1,
        heroes=(BOB, ALICE),
        service_members=frozenset({BOB}),
        own_display_name="Me",
        names={ALICE: "Alice", BOB: ""},
        inviter=UserId("@carol:example.org"),
        stranger=ALICE,
        holders={"allce": (ALICE, "@carol:example.org")},
    )

    await ledger.commit(Plan("s2", rooms=(RoomRecord(facts),)), 1)

    assert (await ledger.rooms([ROOM], []))[ROOM].facts == facts


async def test_an_unknown_fact_stays_unknown(ledger: Ledger) -> None:
    await ledger.commit(Plan("s2", rooms=(RoomRecord(RoomFacts(ROOM)),)), 1)

    assert (await ledger.rooms([ROOM], [ALICE]))[ROOM] == RoomRecord(RoomFacts(ROOM))


async def test_names_are_told_of_those_asked_for_and_of_those_that_name_the_room(ledger: Ledger) -> None:
    names = {ALICE: "Alice", BOB: "Bob", UserId("@hero:x"): "Hero", UserId("@inviter:x"): "Inviter"}
    facts = make_facts(names=names, heroes=("@hero:x", "@unknown:x"), inviter="@inviter:x")
    other = make_facts(OTHER_ROOM, names={ALICE: "Alice elsewhere"})
    await ledger.commit(Plan("s2", rooms=(RoomRecord(facts), RoomRecord(other))), 1)

    rooms = await ledger.rooms([ROOM, OTHER_ROOM], [ALICE])

    assert dict(rooms[ROOM].facts.names) == {ALICE: "Alice", "@hero:x": "Hero", "@inviter:x": "Inviter"}
    assert dict(rooms[OTHER_ROOM].facts.names) == {ALICE: "Alice elsewhere"}


async def test_names_are_told_of_many_at_once(ledger: Ledger) -> None:
    names = {UserId(f"@user{serial}:example.org"): f"User {serial}" for serial in range(700)}
    await ledger.commit(Plan("s2", rooms=(RoomRecord(make_facts(names={**names, ALICE: "Alice"})),)), 1)

    assert dict((await ledger.rooms([ROOM], names.keys()))[ROOM].facts.names) == names


async def test_a_record_written_with_few_names_keeps_the_others(ledger: Ledger) -> None:
    await ledger.commit(Plan("s2", rooms=(RoomRecord(make_facts(names={ALICE: "Alice", BOB: "Bob"})),)), 1)
    await ledger.commit(Plan("s3", rooms=(RoomRecord(make_facts(names={ALICE: "Alice II"})),)), 2)

    facts = (await ledger.rooms([ROOM], [ALICE, BOB]))[ROOM].facts
    assert dict(facts.names) == {ALICE: "Alice II", BOB: "Bob"}


async def test_a_room_of_which_nothing_is_known_any_more_has_no_names(ledger: Ledger) -> None:
    await ledger.commit(Plan("s2", rooms=(RoomRecord(make_facts()),)), 1)
    await ledger.commit(Plan("s3", rooms=(RoomRecord(RoomFacts(ROOM), invite_serial=1),)), 2)

    assert await ledger.rooms([ROOM], [ALICE, BOB]) == {ROOM: RoomRecord(RoomFacts(ROOM), invite_serial=1)}


async def test_a_room_that_was_left_has_no_names_but_its_events_stay_judged(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", rooms=(RoomRecord(make_facts()), RoomRecord(make_facts(OTHER_ROOM)))), 1)

    await ledger.commit(Plan("s3", rooms=(RoomRecord(RoomFacts(ROOM)),)), 2)
    await ledger.commit(Plan("s4", rooms=(RoomRecord(make_facts(name="Again", names={})),)), 3)

    rooms = await ledger.rooms([ROOM, OTHER_ROOM], [ALICE])
    assert rooms[ROOM] == RoomRecord(make_facts(name="Again", names={}))
    assert dict(rooms[OTHER_ROOM].facts.names) == {ALICE: "Alice"}
    assert (await ledger.commit(make_plan("$a"), 4)).new == 0


# Open deliveries


async def test_open_deliveries_are_the_unread_ones_of_these_rooms_by_position(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$b", "$a"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 2)
    await ledger.commit(make_plan("$c", "$d", next_batch="s4"), 3)
    await show(ledger, "$a", "$d")
    await ledger.settle([Settlement(EventId("$d"), Move.OPENED)])

    assert [each.event_id for each in await ledger.open_deliveries([ROOM])] == ["$b", "$a", "$c"]
    assert [each.event_id for each in await ledger.open_deliveries([OTHER_ROOM, ROOM])] == ["$b", "$a", "$other", "$c"]


async def test_rooms_with_open_deliveries_are_told(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 2)
    await show(ledger, "$a")
    assert await ledger.rooms_with_open_deliveries() == {ROOM, OTHER_ROOM}

    await ledger.settle([Settlement(EventId("$a"), Move.OPENED)], closed=ROOM)
    assert await ledger.rooms_with_open_deliveries() == {OTHER_ROOM}


async def test_invites_and_notices_of_our_own_open_no_room(ledger: Ledger) -> None:
    await ledger.commit(make_plan("invite:!other:example.org:0", room_id=OTHER_ROOM), 1)
    summary = make_delivery("start:abc", room_id=NO_ROOM, sender=NOBODY)
    committed = await ledger.commit(make_plan("$a", deliveries=(summary, make_delivery("$a"))), 2)
    assert committed.open_rooms == {ROOM} == await ledger.rooms_with_open_deliveries()
    assert len((await ledger.agenda(2)).deliveries) == 3


# Unread


async def test_what_is_unread_is_counted_by_room_the_newest_first(ledger: Ledger) -> None:
    loud = make_delivery("$b", content=make_content("for you", is_highlight=True))
    await ledger.commit(make_plan("$a", "$b", deliveries=(make_delivery("$a"), loud)), 1)
    await ledger.commit(make_plan("$other", next_batch="s3", room_id=OTHER_ROOM), 2)
    await show(ledger, "$a")

    found = await ledger.unread()

    assert [(room.room_id, room.title, room.unread, room.highlights) for room in found] == [
        (OTHER_ROOM, "Lunch", 1, 0),
        (ROOM, "Lunch", 2, 1),
    ]
    assert [room.messages for room in found] == [(), ()]


async def test_who_wrote_the_newest_unread_message_of_a_room_is_told(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b", deliveries=(make_delivery("$a"), make_delivery("$b", sender=BOB))), 1)

    assert [room.sender for room in await ledger.unread()] == [BOB]


async def test_the_newest_unread_messages_of_a_room_are_told_oldest_first(ledger: Ledger) -> None:
    deliveries = tuple(make_delivery(f"${serial}", text=str(serial)) for serial in range(3))
    judged = tuple(make_judged(f"${serial}", origin_server_ts=100 + serial) for serial in range(3))
    await ledger.commit(Plan("s2", judged=judged, deliveries=deliveries), 1)
    await ledger.settle([Settlement(EventId("$2"), Move.GAVE_UP)])

    (room,) = await ledger.unread(2)

    assert (room.unread, room.latest_ms) == (3, 102)
    assert room.messages == (
        UnreadMessage("$1", ALICE, "Alice", "1", 101, Category.MESSAGE, State.PENDING),
        UnreadMessage("$2", ALICE, "Alice", "2", 102, Category.MESSAGE, State.LOST),
    )


async def test_what_does_not_say_when_it_was_sent_counts_from_when_it_came(ledger: Ledger) -> None:
    invite = make_delivery("invite:!room:example.org:0")
    judged = make_judged(invite.event_id, origin_server_ts=0)
    await ledger.commit(Plan("s2", judged=(judged,), deliveries=(invite,)), 4711)

    (room,) = await ledger.unread(1)

    assert (room.latest_ms, room.messages[0].sent_ms) == (4711, 4711)


async def test_a_conversation_is_named_by_who_wrote_and_a_nameless_room_by_its_id(ledger: Ledger) -> None:
    direct = make_delivery("$a", content=make_content(is_direct=True))
    nameless = make_delivery("$other", room_id=OTHER_ROOM, content=make_content(room_title=""))
    await ledger.commit(Plan("s2", deliveries=(direct, nameless)), 1)

    assert [(room.title, room.is_direct) for room in await ledger.unread()] == [(OTHER_ROOM, False), ("Alice", True)]


async def test_what_was_unread_before_the_first_start_is_no_message(ledger: Ledger) -> None:
    await ledger.commit(Plan("s2", deliveries=(make_delivery("start:1", room_id=""),)), 1)

    assert await ledger.unread(1) == ()


@pytest.mark.parametrize("withdrawn_from", [Move.DISMISSED, Move.GAVE_UP])
async def test_what_is_read_elsewhere_later_is_not_unread_any_more(ledger: Ledger, withdrawn_from: Move) -> None:
    await ledger.commit(make_plan("$a"), 1)
    if withdrawn_from is Move.DISMISSED:
        await show(ledger, "$a")
    await ledger.settle([Settlement(EventId("$a"), withdrawn_from)])

    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)

    assert await ledger.unread() == ()
    assert await ledger.open_deliveries([ROOM]) == []


async def test_an_erased_history_keeps_what_is_unread_and_nothing_rings_again(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$read", "$unread"), 1)
    await show(ledger, "$read", "$unread")
    await ledger.settle([Settlement(EventId("$read"), Move.OPENED), Settlement(EventId("$unread"), Move.DISMISSED)])

    assert await ledger.erase_history() == 1
    assert await ledger.erase_history() == 0

    assert await count(ledger, State.OPENED) == 0
    assert [room.unread for room in await ledger.unread()] == [1]
    assert (await ledger.commit(make_plan("$read", next_batch="s3"), 2)).new == 0


async def test_an_erased_inbox_keeps_only_what_waits_or_is_on_screen(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$closed", "$refused", "$shown", "$pending"), 1)
    await show(ledger, "$shown", "$closed")
    await ledger.settle([Settlement(EventId("$closed"), Move.DISMISSED), Settlement(EventId("$refused"), Move.GAVE_UP)])

    assert await ledger.erase_history(with_unread=True) == 2

    assert [each.event_id for each in await ledger.open_deliveries([ROOM])] == ["$shown", "$pending"]


async def test_an_event_that_the_server_lists_late_rings_even_after_the_history_was_erased(ledger: Ledger) -> None:
    unlisted = make_judged("$a", decision=Decision.SILENT, reason=UNLISTED)
    await ledger.commit(Plan("s2", judged=(unlisted,)), 1)
    await ledger.erase_history()

    assert (await ledger.commit(make_plan("$a", next_batch="s3"), 2)).new == 1


async def test_every_state_is_counted(ledger: Ledger) -> None:
    assert await ledger.counts() == {state.value: 0 for state in State}
    await ledger.commit(make_plan("$a", "$b", "$c"), 1)
    await show(ledger, "$a")
    await ledger.settle([Settlement(EventId("$b"), Move.GAVE_UP, why="refused")])

    assert await ledger.counts() == {state.value: 0 for state in State} | {"pending": 1, "shown": 1, "lost": 1}


# Rooms that are mute for a time


async def test_a_mute_is_kept_until_it_is_forgotten(ledger: Ledger) -> None:
    late, soon = TimedMute(ROOM, "rule", 2000, was_there=True), TimedMute(OTHER_ROOM, OTHER_ROOM, 1000)
    await ledger.keep_mute(late)
    await ledger.keep_mute(soon)
    assert await ledger.mutes() == [soon, late]
    await ledger.forget_mute(OTHER_ROOM)
    await ledger.forget_mute(RoomId("!unknown:example.org"))
    assert await ledger.mutes() == [late]


async def test_a_room_has_one_mute(ledger: Ledger) -> None:
    await ledger.keep_mute(TimedMute(ROOM, ROOM, 1000))
    await ledger.keep_mute(TimedMute(ROOM, ROOM, 3000))
    assert await ledger.mutes() == [TimedMute(ROOM, ROOM, 3000)]
