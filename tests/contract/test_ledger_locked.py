"""What a ledger keeps until a key comes, and what it forgets."""

from __future__ import annotations

from typing import Any

from contract.ledgers import OTHER_ROOM, count, make_judged, make_plan, show
from heliograph.core.delivery import Move, State
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.record import (
    Decision,
    LockedEvent,
    Plan,
    Rewrite,
    RoomRecord,
    Withdrawal,
)
from heliograph.core.room import RoomFacts
from heliograph.ports.ledger import Ledger, Settlement
from support.builders import ALICE, BOB, ROOM, make_content, make_delivery, make_encrypted, make_event, make_facts

# Encrypted events whose keys have not come


def make_locked(event_id: str = "$a", session_id: str = "session", room_id: RoomId = ROOM) -> LockedEvent:
    event = make_encrypted(make_event(event_id=event_id, room_id=room_id), session_id)
    return LockedEvent(event, RoomKey(room_id, session_id))


def make_locked_plan(*locked: LockedEvent, **plan: Any) -> Plan:
    judged = tuple(
        make_judged(each.event_id, room_id=each.event.room_id, decision=Decision.SILENT, reason="none matched")
        for each in locked
    )
    return Plan("s2", **({"judged": judged, "locked": locked} | plan))


async def test_a_room_is_open_while_something_in_it_waits_for_its_key(ledger: Ledger) -> None:
    committed = await ledger.commit(make_locked_plan(make_locked("$a"), make_locked("$b", room_id=OTHER_ROOM)), 1)
    assert committed.open_rooms == {ROOM, OTHER_ROOM} == await ledger.rooms_with_open_deliveries()
    committed = await ledger.commit(Plan("s3", unlocked=(EventId("$a"),)), 2)
    assert committed.open_rooms == {OTHER_ROOM} == await ledger.rooms_with_open_deliveries()


async def test_locked_events_are_kept_with_all_that_decrypting_needs(ledger: Ledger) -> None:
    locked = make_locked()
    await ledger.commit(make_locked_plan(locked), 1)
    (kept,) = await ledger.locked_events(None)
    assert kept.key == locked.key
    assert kept.position > 0
    event = kept.event
    assert (event.event_id, event.room_id, event.type, event.sender, event.content, event.origin_server_ts) == (
        *("$a", ROOM, "m.room.encrypted", ALICE),
        *(locked.event.content, locked.event.origin_server_ts),
    )
    assert event.raw["content"] == event.content


async def test_locked_events_are_found_by_key_and_by_room_in_order(ledger: Ledger) -> None:
    first, second, third = make_locked("$a", "one"), make_locked("$b", "two"), make_locked("$c", "one")
    elsewhere = make_locked("$d", "one", OTHER_ROOM)
    await ledger.commit(make_locked_plan(first, second, third, elsewhere), 1)
    assert [each.event_id for each in await ledger.locked_events([first.key])] == ["$a", "$c"]
    assert {each.event_id for each in await ledger.locked_in([ROOM])} == {"$a", "$b", "$c"}
    assert len(await ledger.locked_events(None)) == 4
    assert await ledger.locked_events([]) == []


async def test_unlocked_events_are_kept_no_longer(ledger: Ledger) -> None:
    await ledger.commit(make_locked_plan(make_locked("$a"), make_locked("$b")), 1)
    await ledger.commit(Plan("s3", unlocked=(EventId("$a"), EventId("$unknown"))), 2)
    assert [each.event_id for each in await ledger.locked_events(None)] == ["$b"]


async def test_a_locked_event_that_rings_after_all_is_shown_like_a_new_one(ledger: Ledger) -> None:
    await ledger.commit(make_locked_plan(make_locked("$a")), 1)
    await ledger.commit(make_plan("$b"), 2)
    plan = Plan("s4", rejudged=(make_judged("$a"),), deliveries=(make_delivery("$a"),), unlocked=(EventId("$a"),))
    assert (await ledger.commit(plan, 3)).new == 1
    assert [each.event_id for each in await ledger.open_deliveries([ROOM])] == ["$b", "$a"]


async def test_a_second_judgement_of_what_is_shown_keeps_its_place(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    before = await ledger.positions([EventId("$a"), EventId("$b")])
    rejudged = (make_judged("$a"), make_judged("$b", decision=Decision.SILENT, reason="rule"))
    await ledger.commit(Plan("s3", rejudged=rejudged, changes=(Withdrawal(EventId("$b"), "rule"),)), 2)
    assert await ledger.positions([EventId("$a"), EventId("$b")]) == before
    assert [each.event_id for each in await ledger.open_deliveries([ROOM])] == ["$a"]


async def test_what_was_settled_does_not_ring_again_when_its_key_comes(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)
    plan = Plan("s4", rejudged=(make_judged("$a"),), deliveries=(make_delivery("$a"),))
    assert (await ledger.commit(plan, 3)).new == 0
    assert await ledger.open_deliveries([ROOM]) == []


async def test_a_rewritten_delivery_says_all_of_it_anew_and_waits_no_longer(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", deliveries=(make_delivery("$a", due_ms=3000),)), 1)
    content = make_content("what it says", is_highlight=True, sound="default")
    await ledger.commit(Plan("s3", changes=(Rewrite(EventId("$a"), content),)), 2)
    assert (await ledger.agenda(10)).deliveries[0].content == content


async def test_a_rewritten_delivery_that_failed_before_keeps_its_time(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=9000)])
    await ledger.commit(Plan("s3", changes=(Rewrite(EventId("$a"), make_content("anew")),)), 2)
    agenda = await ledger.agenda(10)
    assert (agenda.deliveries, agenda.next_ms) == ((), 9000)


async def test_a_rewritten_popup_is_stale(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")
    await ledger.commit(Plan("s3", changes=(Rewrite(EventId("$a"), make_content("anew")),)), 2)
    assert [each.is_stale for each in await ledger.popups()] == [True]


async def test_a_rewrite_of_what_is_settled_changes_nothing(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    changes = (Withdrawal(EventId("$a"), "read elsewhere"), Rewrite(EventId("$a"), make_content("anew")))
    await ledger.commit(Plan("s3", changes=changes), 2)
    assert await ledger.open_deliveries([ROOM]) == []


async def test_old_locked_events_are_forgotten(ledger: Ledger) -> None:
    await ledger.commit(make_locked_plan(make_locked("$old")), 1000)
    await ledger.commit(make_locked_plan(make_locked("$new")), 5000)
    await ledger.prune(3000)
    assert [each.event_id for each in await ledger.locked_events(None)] == ["$new"]


# Pruning


async def test_pruning_forgets_older_judgements_and_settled_deliveries(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$old"), 10)
    await ledger.commit(make_plan("$new", next_batch="s3"), 20)
    await ledger.settle([Settlement(EventId("$old"), Move.GAVE_UP), Settlement(EventId("$new"), Move.GAVE_UP)])

    await ledger.prune(20)

    assert await count(ledger, State.LOST) == 1
    assert await ledger.positions([EventId("$old"), EventId("$new")]) == {"$new": 2}
    assert (await ledger.account()).next_batch == "s3"


async def test_pruning_leaves_open_deliveries_however_old(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$pending", "$shown"), 10)
    await show(ledger, "$shown")

    await ledger.prune(1_000)

    assert [each.event_id for each in await ledger.open_deliveries([ROOM])] == ["$pending", "$shown"]
    assert len(await ledger.positions([EventId("$pending"), EventId("$shown")])) == 2


async def test_pruning_forgets_old_deliveries_that_are_on_no_known_screen(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 10)
    await show(ledger, "$a")
    await ledger.forget_popup_ids(None)

    await ledger.prune(1_000)

    assert await ledger.open_deliveries([ROOM]) == []


async def test_pruning_forgets_names_unless_a_room_is_named_by_them(ledger: Ledger) -> None:
    names = {ALICE: "Alice", BOB: "Bob", UserId("@hero:x"): "Hero", UserId("@inviter:x"): "Inviter"}
    facts = make_facts(names=names, heroes=("@hero:x",), inviter="@inviter:x")
    await ledger.commit(Plan("s2", rooms=(RoomRecord(facts),)), 10)
    await ledger.commit(
        Plan("s3", rooms=(RoomRecord(make_facts(names={BOB: "Bob II"}, heroes=facts.heroes, inviter=facts.inviter)),)),
        30,
    )

    await ledger.prune(30)

    assert dict((await ledger.rooms([ROOM], names))[ROOM].facts.names) == {
        BOB: "Bob II",
        "@hero:x": "Hero",
        "@inviter:x": "Inviter",
    }


async def test_pruning_forgets_rooms_that_were_left_once_no_event_of_theirs_is_remembered(ledger: Ledger) -> None:
    left, known = RoomRecord(RoomFacts(ROOM), invite_serial=3), RoomRecord(make_facts("!known:x"))
    await ledger.commit(make_plan("$a", rooms=(left, known)), 10)
    await ledger.settle([Settlement(EventId("$a"), Move.GAVE_UP)])

    await ledger.prune(5)
    assert (await ledger.rooms([ROOM], ()))[ROOM].invite_serial == 3, "an invite of theirs would be taken for known"
    await ledger.prune(20)
    assert set(await ledger.rooms([ROOM, RoomId("!known:x")], ())) == {"!known:x"}


async def test_pruning_much_forgets_all_of_it(ledger: Ledger) -> None:
    event_ids = [EventId(f"$event{serial}") for serial in range(2_500)]
    await ledger.commit(Plan("s1", judged=tuple(make_judged(event_id) for event_id in event_ids)), 1)

    await ledger.prune(2)

    assert await ledger.positions(event_ids) == {}
