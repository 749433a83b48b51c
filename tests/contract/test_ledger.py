"""What every ledger does: the fake, and SQLite on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.ledger import FakeLedger
from heliograph.core.delivery import Move, State
from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import AccountData
from heliograph.core.ids import NO_ROOM, NOBODY, EventId, OwnKey, RoomId, UserId, event_key
from heliograph.core.notification import Category, Popup
from heliograph.core.popups.arrange import LINES
from heliograph.core.popups.quiet import Through
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.record import (
    UNLISTED,
    AccountState,
    Content,
    Decision,
    Delivery,
    Edit,
    Judged,
    LockedEvent,
    Plan,
    PopupRecord,
    Rewrite,
    RoomRecord,
    Withdrawal,
)
from heliograph.core.room import RoomFacts
from heliograph.core.summary.unread import UnreadMessage
from heliograph.ports.ledger import Ledger, Settlement
from heliograph.store.ledger import SqliteLedger
from support.builders import ALICE, BOB, ROOM, make_content, make_delivery, make_encrypted, make_event, make_facts

OTHER_ROOM = RoomId("!other:example.org")


@pytest.fixture(params=["fake", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger: Ledger = FakeLedger() if request.param == "fake" else await SqliteLedger.open(tmp_path / "account")
    yield ledger
    await ledger.close()


def make_judged(event_id: str = "$a", **judged: Any) -> Judged:
    defaults: dict[str, Any] = {"room_id": ROOM, "decision": Decision.RING, "reason": ".m.rule.message"}
    return Judged(event_key(event_id), **(defaults | judged))


def make_plan(*event_ids: str, next_batch: str = "s2", room_id: RoomId = ROOM, **plan: Any) -> Plan:
    """Rings for each of these events."""
    defaults: dict[str, Any] = {
        "judged": tuple(make_judged(event_id, room_id=room_id) for event_id in event_ids),
        "deliveries": tuple(make_delivery(event_id, room_id=room_id) for event_id in event_ids),
    }
    return Plan(next_batch, **(defaults | plan))


def make_popup(key: str = ROOM, *, server: str = ":1.7", digest: str = "d", is_stale: bool = False) -> PopupRecord:
    return PopupRecord(key, Popup(server, 7), digest, is_stale)


async def show(ledger: Ledger, *event_ids: str, popup: PopupRecord | None = None) -> None:
    settlements = [Settlement(EventId(event_id), Move.SHOWN) for event_id in event_ids]
    await ledger.settle(settlements, shown=popup or make_popup())


async def find(ledger: Ledger, event_id: str, room_id: RoomId = ROOM) -> Delivery | None:
    found = {each.event_id: each for each in await ledger.open_deliveries([room_id])}
    return found.get(event_key(event_id))


async def count(ledger: Ledger, state: State) -> int:
    return (await ledger.counts())[state.value]


# The account


async def test_before_the_first_start_nothing_is_known_of_the_account(ledger: Ledger) -> None:
    assert await ledger.account() == AccountState()


async def test_a_start_that_brings_all_account_data_replaces_all_of_it(ledger: Ledger) -> None:
    before = AccountData({"global": {}}, frozenset({RoomId("!before:example.org")}), frozenset({BOB}), is_silenced=True)
    await ledger.commit(Plan("s0", account_data=before), 5)
    data = AccountData(
        push_rules={"global": {"override": [{"rule_id": ".m.rule.master", "enabled": False}]}},
        direct_rooms=frozenset({ROOM, OTHER_ROOM}),
        ignored_users=frozenset(),
        is_silenced=False,
    )

    await ledger.commit(Plan("s1", account_data=data), 10)

    assert await ledger.account() == AccountState(
        next_batch="s1",
        push_rules=data.push_rules,
        direct_rooms=frozenset({ROOM, OTHER_ROOM}),
        last_sync_ms=10,
    )


async def test_starting_anew_keeps_what_was_judged(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)

    await ledger.commit(Plan("anew", account_data=AccountData(push_rules={"global": {}})), 2)

    assert (await ledger.commit(make_plan("$a"), 3)).new == 0
    assert await count(ledger, State.PENDING) == 1


@pytest.mark.parametrize("is_enabled", [True, False])
async def test_the_pusher_stays_as_it_was_set(ledger: Ledger, is_enabled: bool) -> None:
    await ledger.set_pusher_enabled(is_enabled)
    await ledger.commit(make_plan("$a"), 1)

    assert (await ledger.account()).is_pusher_enabled is is_enabled


async def test_a_problem_with_push_rules_is_known_until_there_is_none(ledger: Ledger) -> None:
    await ledger.commit(Plan("s1", account_data=AccountData({"global": {}}, rules_problem="none can be read")), 1)
    await ledger.commit(make_plan("$a"), 2)
    assert (await ledger.account()).rules_problem == "none can be read"

    await ledger.commit(Plan("s3", account_data=AccountData(rules_problem="")), 3)

    assert await ledger.account() == AccountState("s3", {"global": {}}, last_sync_ms=3)


async def test_the_pushers_that_were_switched_off_are_those_said_last(ledger: Ledger) -> None:
    await ledger.set_switched_off([("app", "one"), ("app", "two")])
    await ledger.set_switched_off([("app", "two"), ("app", "three")])
    await ledger.commit(make_plan("$a"), 1)

    assert (await ledger.account()).switched_off == {("app", "two"), ("app", "three")}


async def test_the_fallback_is_the_one_registered_last(ledger: Ledger) -> None:
    assert (await ledger.account()).fallback is None
    await ledger.set_fallback(("app", "topic"))
    await ledger.commit(make_plan("$a"), 1)
    assert (await ledger.account()).fallback == ("app", "topic")
    await ledger.set_fallback(None)
    assert (await ledger.account()).fallback is None


async def test_a_commit_changes_the_account_data_that_came_and_no_other(ledger: Ledger) -> None:
    first = AccountData(push_rules={"global": {}}, direct_rooms=frozenset({ROOM}), ignored_users=frozenset({BOB}))
    await ledger.commit(Plan("s1", account_data=first), 1)

    await ledger.commit(Plan("s2", account_data=AccountData(ignored_users=frozenset(), is_silenced=True)), 9)

    assert await ledger.account() == AccountState(
        next_batch="s2",
        push_rules={"global": {}},
        direct_rooms=frozenset({ROOM}),
        ignored_users=frozenset(),
        is_silenced=True,
        last_sync_ms=9,
    )


async def test_a_sync_that_changed_nothing_else_still_moves_the_token(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", next_batch="s2"), 5)
    await ledger.commit(Plan("s3"), 6)

    state = await ledger.account()
    assert state.next_batch == "s3"
    assert state.last_sync_ms == 5, "the last one that changed something"


# Judging once


async def test_a_commit_tells_how_many_deliveries_are_new(ledger: Ledger) -> None:
    assert (await ledger.commit(make_plan("$a", "$b"), 1)).new == 2
    assert (await ledger.commit(make_plan("$b", "$c"), 2)).new == 1
    assert await count(ledger, State.PENDING) == 3


async def test_a_new_delivery_holds_all_that_the_plan_said(ledger: Ledger) -> None:
    content = Content(
        room_title="Küche 🍲",
        sender_name="Ал\u0000иса",
        text="line\nline\u202e",
        category=Category.CALL,
        is_direct=True,
        is_highlight=True,
        sound="ring",
        markup="<b>line</b>",
        avatar="mxc://example.org/a",
        thread="Tea \u2014 when?",
    )
    delivery = Delivery(EventId("$a"), ROOM, ALICE, content, thread_root=EventId("$root"), due_ms=70)

    await ledger.commit(make_plan(judged=(make_judged("$a"),), deliveries=(delivery,)), 1)

    position = (await ledger.positions([EventId("$a")]))[EventId("$a")]
    assert await find(ledger, "$a") == Delivery(
        EventId("$a"), ROOM, ALICE, content, thread_root=EventId("$root"), due_ms=70, position=position
    )


async def test_a_delivery_without_text_keeps_its_empty_text(ledger: Ledger) -> None:
    await ledger.commit(make_plan(judged=(), deliveries=(make_delivery("$a", text=""),)), 1)

    found = await find(ledger, "$a")
    assert found is not None
    assert found.content == make_content("")


async def test_an_event_that_the_server_lists_late_rings_after_all(ledger: Ledger) -> None:
    unlisted = make_judged("$a", decision=Decision.SILENT, reason=UNLISTED)
    await ledger.commit(Plan("s1", judged=(unlisted, make_judged("$b", decision=Decision.SILENT))), 1)

    assert (await ledger.commit(make_plan("$a", "$b"), 2)).new == 1
    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == ["$a"]
    assert (await ledger.commit(Plan("s3", judged=(unlisted,)), 3)).new == 0
    assert len((await ledger.agenda(10)).deliveries) == 1


async def test_a_commit_tells_which_rooms_have_open_deliveries(ledger: Ledger) -> None:
    assert (await ledger.commit(make_plan("$a"), 1)).open_rooms == {ROOM}
    committed = await ledger.commit(
        make_plan("$b", room_id=OTHER_ROOM, changes=(Withdrawal(EventId("$a"), "read"),)), 2
    )
    assert committed.open_rooms == {OTHER_ROOM} == await ledger.rooms_with_open_deliveries()


async def test_an_event_that_was_silent_once_does_not_ring_later(ledger: Ledger) -> None:
    await ledger.commit(Plan("s1", judged=(make_judged("$a", decision=Decision.SILENT),)), 1)

    assert (await ledger.commit(make_plan("$a"), 2)).new == 0
    assert (await ledger.agenda(10)).deliveries == ()


async def test_an_event_that_was_malformed_once_does_not_ring_later(ledger: Ledger) -> None:
    await ledger.commit(Plan("s1", judged=(make_judged("$a", decision=Decision.MALFORMED), make_judged("$a"))), 1)

    assert (await ledger.commit(make_plan("$a"), 2)).new == 0


async def test_what_is_malformed_beyond_telling_its_room_is_judged_once_all_the_same(ledger: Ledger) -> None:
    malformed = make_judged("malformed:1", room_id=None, decision=Decision.MALFORMED)
    await ledger.commit(Plan("s1", judged=(malformed,)), 1)
    before = await ledger.positions([OwnKey("malformed:1")])

    await ledger.commit(Plan("s2", judged=(malformed,)), 2)

    assert list(before) == ["malformed:1"]
    assert await ledger.positions([OwnKey("malformed:1")]) == before


async def test_one_event_twice_in_one_plan_rings_once(ledger: Ledger) -> None:
    assert (await ledger.commit(make_plan("$a", "$a"), 1)).new == 1
    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == ["$a"]


async def test_a_delivery_whose_judgement_is_missing_rings_all_the_same_and_once(ledger: Ledger) -> None:
    plan = make_plan(deliveries=(make_delivery("$a"),))

    assert (await ledger.commit(plan, 1)).new == 1
    assert (await ledger.commit(plan, 2)).new == 0
    assert "$a" in await ledger.positions([EventId("$a")])


async def test_a_settled_delivery_does_not_ring_again(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")
    await ledger.settle([Settlement(EventId("$a"), Move.DISMISSED)], closed=ROOM)

    assert (await ledger.commit(make_plan("$a"), 2)).new == 0
    assert (await ledger.agenda(10)).deliveries == ()


async def test_positions_grow_in_the_order_in_which_events_were_judged(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$b", "$a"), 1)
    await ledger.commit(Plan("s3", judged=(make_judged("$d"),)), 2)
    await ledger.commit(make_plan("$a", "$c"), 3)

    positions = await ledger.positions(
        [EventId("$a"), EventId("$b"), EventId("$c"), EventId("$d"), EventId("$unknown")]
    )

    assert sorted(positions, key=positions.__getitem__) == ["$b", "$a", "$d", "$c"]


async def test_a_position_is_not_used_again_after_pruning(ledger: Ledger) -> None:
    await ledger.commit(Plan("s1", judged=(make_judged("$a"), make_judged("$b"))), 1)
    before = await ledger.positions([EventId("$b")])
    await ledger.prune(100)
    await ledger.commit(Plan("s2", judged=(make_judged("$c"),)), 101)

    assert (await ledger.positions([EventId("$c")]))[EventId("$c")] > before[EventId("$b")]


async def test_more_events_are_looked_up_than_one_statement_can_name(ledger: Ledger) -> None:
    event_ids = [EventId(f"$event{serial}") for serial in range(1_700)]
    await ledger.commit(make_plan(*event_ids), 1)

    assert await ledger.positions([*event_ids, EventId("$unknown")]) == {
        each.event_id: each.position for each in (await ledger.agenda(1)).deliveries
    }


@pytest.mark.parametrize("lookup", ["rooms", "open_deliveries", "positions"])
async def test_asking_for_nothing_finds_nothing(ledger: Ledger, lookup: str) -> None:
    await ledger.commit(make_plan("$a", rooms=(RoomRecord(make_facts()),)), 1)
    lookups: dict[str, Callable[[], Any]] = {
        "rooms": lambda: ledger.rooms([], [ALICE]),
        "open_deliveries": lambda: ledger.open_deliveries([]),
        "positions": lambda: ledger.positions([]),
    }

    assert not await lookups[lookup]()


# What strangers send


async def test_what_a_disk_cannot_hold_neither_stops_nor_loses_a_commit(ledger: Ledger) -> None:
    hostile = "\ud800\u0000\u202e"
    facts = make_facts(f"!{hostile}", name=hostile, heroes=(hostile,), names={hostile: hostile}, inviter=hostile)
    plan = Plan(
        hostile,
        judged=(
            make_judged(f"${hostile}", reason=hostile, sender=hostile, rule=hostile, origin_server_ts=10**40),
            make_judged("$b", origin_server_ts=-(10**40)),
        ),
        deliveries=(make_delivery(f"${hostile}", text=hostile, room_id=hostile, due_ms=-(10**40)),),
        changes=(Edit(EventId(f"${hostile}"), hostile), Edit(EventId("$b"), hostile)),
        rooms=(RoomRecord(facts),),
        account_data=AccountData(push_rules={hostile: 10**400}, direct_rooms=frozenset({RoomId(hostile)})),
    )

    assert (await ledger.commit(plan, 1)).new == 1
    assert (await ledger.commit(plan, 2)).new == 0
    assert len((await ledger.agenda(1)).deliveries) == 1
    await ledger.rooms([facts.room_id], [UserId(hostile)])
    await ledger.settle([Settlement(EventId(f"${hostile}"), Move.WITHDRAWN, why=hostile)], closed=hostile)
    assert (await ledger.agenda(1)).deliveries == ()


@pytest.mark.expected_log("The power levels of !room:example.org cannot be kept", times=(0, 1))
async def test_power_levels_nested_out_of_measure_do_not_stop_a_commit(ledger: Ledger) -> None:
    nested: Any = {}
    for _ in range(5_000):
        nested = {"users": nested}

    await ledger.commit(make_plan("$a", rooms=(RoomRecord(make_facts(power_levels=nested)),)), 1)

    assert (await ledger.rooms([ROOM], []))[ROOM].facts.name == "Lunch"
    assert await count(ledger, State.PENDING) == 1


# Changes of a plan


async def test_a_withdrawn_pending_delivery_is_cancelled(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)

    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)

    assert await count(ledger, State.CANCELLED) == 1
    assert (await ledger.agenda(10)).deliveries == ()


async def test_a_withdrawn_shown_delivery_makes_its_popup_stale(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await show(ledger, "$a", "$b")

    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)

    assert await count(ledger, State.WITHDRAWN) == 1
    assert await ledger.popups() == [make_popup(is_stale=True)]
    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == ["$b"], "what the popup still shows"


@pytest.mark.parametrize("is_shown", [True, False])
async def test_an_edit_changes_what_an_open_delivery_says(ledger: Ledger, is_shown: bool) -> None:
    await ledger.commit(make_plan("$a"), 1)
    if is_shown:
        await show(ledger, "$a")

    await ledger.commit(Plan("s3", changes=(Edit(EventId("$a"), "corrected", "<b>corrected</b>"),)), 2)

    (delivery,) = (await ledger.agenda(10)).deliveries
    assert delivery.content == make_content("corrected", markup="<b>corrected</b>")
    assert [popup.is_stale for popup in await ledger.popups()] == ([True] if is_shown else [])


async def test_changes_apply_to_the_deliveries_of_the_same_plan_in_order(ledger: Ledger) -> None:
    plan = make_plan(
        "$a",
        "$b",
        changes=(
            Edit(EventId("$a"), "1"),
            Edit(EventId("$a"), "2"),
            Withdrawal(EventId("$b"), "redacted"),
            Edit(EventId("$b"), "3"),
        ),
    )

    assert (await ledger.commit(plan, 1)).new == 2

    (delivery,) = (await ledger.agenda(10)).deliveries
    assert delivery.content == make_content("2")
    assert await count(ledger, State.CANCELLED) == 1


async def test_changes_that_no_longer_fit_are_passed_over(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await show(ledger, "$a")
    await ledger.settle([Settlement(EventId("$a"), Move.OPENED)])

    await ledger.commit(
        Plan(
            "s3",
            changes=(
                Withdrawal(EventId("$a"), "late"),
                Edit(EventId("$a"), "late"),
                Withdrawal(EventId("$unknown"), ""),
                Edit(EventId("$unknown"), ""),
            ),
        ),
        2,
    )

    assert await count(ledger, State.OPENED) == 1
    assert await ledger.popups() == [make_popup()]
    assert (await ledger.account()).next_batch == "s3"


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
        joined_member_count=7,
        heroes=(BOB, ALICE),
        own_display_name="Me",
        names={ALICE: "Alice", BOB: ""},
        inviter=UserId("@carol:example.org"),
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


# What is due


async def test_a_pending_delivery_is_due_from_its_time_on(ledger: Ledger) -> None:
    await ledger.commit(make_plan(deliveries=(make_delivery("$later", due_ms=100), make_delivery("$now"))), 1)

    assert [each.event_id for each in (await ledger.agenda(99)).deliveries] == ["$now"]
    assert [each.event_id for each in (await ledger.agenda(100)).deliveries] == ["$later", "$now"]


async def test_the_next_due_time_is_that_of_the_first_pending_delivery(ledger: Ledger) -> None:
    assert (await ledger.agenda(0)).next_ms is None
    await ledger.commit(make_plan(deliveries=(make_delivery("$a", due_ms=300), make_delivery("$b", due_ms=200))), 1)
    assert (await ledger.agenda(0)).next_ms == 200
    await show(ledger, "$b")
    assert (await ledger.agenda(0)).next_ms == 300


async def test_what_a_rooms_popup_shows_already_comes_with_what_is_due_in_it(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 1)
    await show(ledger, "$a")
    await show(ledger, "$other", popup=make_popup(OTHER_ROOM))
    await ledger.commit(make_plan("$b"), 2)

    due = (await ledger.agenda(10)).deliveries

    assert [(each.event_id, each.state, each.popup_key) for each in due] == [
        ("$a", State.SHOWN, ROOM),
        ("$b", State.PENDING, None),
    ]


async def test_only_what_a_rooms_popup_quotes_comes_and_the_rest_is_counted(ledger: Ledger) -> None:
    shown = [f"${number}" for number in range(LINES + 3)]
    await ledger.commit(make_plan(*shown), 1)
    await show(ledger, *shown)
    await ledger.commit(make_plan("$new"), 2)

    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == [*shown[-LINES:], "$new"]
    assert [record.size for record in await ledger.popups()] == [LINES + 3]


async def test_all_that_a_stale_summary_shows_comes(ledger: Ledger) -> None:
    shown = [f"${number}" for number in range(LINES + 3)]
    await ledger.commit(make_plan(*shown), 1)
    await show(ledger, *shown, popup=make_popup("summary:$0"))
    await ledger.commit(Plan("s9", changes=(Withdrawal(EventId("$0"), "read"),)), 2)

    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == shown[1:]
    assert [record.size for record in await ledger.popups()] == [LINES + 2]


async def test_a_change_to_what_a_popup_does_not_quote_while_it_is_replaced_leaves_it_stale(ledger: Ledger) -> None:
    shown = [f"${number}" for number in range(LINES + 3)]
    await ledger.commit(make_plan(*shown), 1)
    await show(ledger, *shown)
    await ledger.commit(make_plan("$new"), 2)
    await ledger.agenda(10)
    await ledger.commit(Plan("s9", changes=(Withdrawal(EventId("$0"), "read"),)), 3)

    await ledger.settle([Settlement(EventId("$new"), Move.SHOWN)], shown=make_popup())

    assert [record.is_stale for record in await ledger.popups()] == [True]


async def test_what_a_summary_shows_does_not_come_with_one_of_its_rooms(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a", popup=make_popup("summary:$a"))
    await ledger.commit(make_plan("$b"), 2)

    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == ["$b"]


@pytest.mark.parametrize(
    ("through", "due"),
    [
        (None, ["$plain", "$loud", "$family", "$boss"]),
        (Through(highlights=False), []),
        (Through(), ["$loud"]),
        (Through(highlights=False, names=frozenset({OTHER_ROOM})), ["$family"]),
        (Through(highlights=False, names=frozenset({"Family"})), ["$family"]),
        (Through(names=frozenset({BOB})), ["$loud", "$boss"]),
    ],
)
async def test_in_quiet_only_what_passes_is_due(ledger: Ledger, through: Through | None, due: list[str]) -> None:
    deliveries = (
        make_delivery("$plain"),
        make_delivery("$loud", content=make_content(is_highlight=True)),
        make_delivery("$family", room_id=OTHER_ROOM, content=make_content(room_title="Family")),
        make_delivery("$boss", sender=BOB),
    )
    await ledger.commit(Plan("s2", deliveries=deliveries), 1)
    assert [each.event_id for each in (await ledger.agenda(5, through=through)).deliveries] == due


async def test_what_is_held_back_in_quiet_is_no_next_thing_to_do(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=50)])
    assert (await ledger.agenda(9)).next_ms == 50
    assert (await ledger.agenda(9, through=Through())).next_ms is None


async def test_what_is_not_due_touches_no_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")
    await ledger.commit(make_plan(deliveries=(make_delivery("$b", due_ms=100),)), 2)

    assert (await ledger.agenda(99)).deliveries == ()


# Settling


async def test_a_shown_delivery_is_in_its_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)

    await show(ledger, "$a")

    assert await ledger.popups() == [make_popup()]
    found = await find(ledger, "$a")
    assert found is not None
    assert (found.state, found.popup_key, found.content) == (State.SHOWN, ROOM, make_content())


async def test_a_popup_shown_again_keeps_what_it_shows(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await show(ledger, "$a")

    await ledger.settle([Settlement(EventId("$b"), Move.SHOWN)], shown=make_popup(digest="d2"))

    assert await ledger.popups() == [make_popup(digest="d2")]
    assert {each.popup_key for each in await ledger.open_deliveries([ROOM])} == {ROOM}


async def test_a_replaced_delivery_moves_to_the_popup_that_shows_it_now(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a", popup=make_popup("summary:$a"))

    await ledger.settle([Settlement(EventId("$a"), Move.REPLACED)], shown=make_popup(), closed="summary:$a")

    assert await ledger.popups() == [make_popup()]
    found = await find(ledger, "$a")
    assert found is not None
    assert found.popup_key == ROOM


async def test_a_failed_delivery_waits_and_counts_its_attempts(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)

    await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=50, why="no server")])
    await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=90, why="still none")])

    assert (await ledger.agenda(89)).deliveries == ()
    (delivery,) = (await ledger.agenda(90)).deliveries
    assert (delivery.state, delivery.attempts, delivery.due_ms, delivery.why) == (State.PENDING, 2, 90, "still none")


@pytest.mark.parametrize(
    ("move", "state"),
    [
        (Move.OPENED, State.OPENED),
        (Move.WITHDRAWN, State.WITHDRAWN),
    ],
)
async def test_a_shown_delivery_ends(ledger: Ledger, move: Move, state: State) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")

    await ledger.settle([Settlement(EventId("$a"), move)], closed=ROOM)

    assert await count(ledger, state) == 1
    assert await ledger.open_deliveries([ROOM]) == []
    assert await ledger.popups() == []


@pytest.mark.parametrize(("move", "state"), [(Move.DISMISSED, State.DISMISSED), (Move.GAVE_UP, State.LOST)])
async def test_what_is_not_on_screen_any_more_stays_unread_until_it_is_opened(
    ledger: Ledger, move: Move, state: State
) -> None:
    await ledger.commit(make_plan("$a"), 1)
    if move is Move.DISMISSED:
        await show(ledger, "$a")

    await ledger.settle([Settlement(EventId("$a"), move, why="why")], closed=ROOM)

    found = await find(ledger, "$a")
    assert found is not None
    assert (found.state, found.content, found.popup_key, found.why) == (state, make_content(), None, "why")
    assert (await ledger.agenda(9)).deliveries == ()
    assert [room.unread for room in await ledger.unread()] == [1]

    await ledger.settle([Settlement(EventId("$a"), Move.OPENED)])

    assert await find(ledger, "$a") is None
    assert await ledger.unread() == ()


async def test_moves_that_no_longer_fit_are_passed_over(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await ledger.settle([Settlement(EventId("$a"), Move.GAVE_UP, why="refused")])

    await ledger.settle(
        [
            Settlement(EventId("$a"), Move.SHOWN),
            Settlement(EventId("$b"), Move.DISMISSED),
            Settlement(EventId("$unknown"), Move.SHOWN),
            Settlement(EventId("$b"), Move.FAILED, due_ms=5),
        ]
    )

    assert await ledger.counts() == {state.value: 0 for state in State} | {"pending": 1, "lost": 1}
    assert (await ledger.agenda(0)).next_ms == 5


async def test_what_a_closed_popup_still_showed_is_shown_by_none(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await show(ledger, "$a", "$b")

    await ledger.settle([Settlement(EventId("$a"), Move.DISMISSED)], closed=ROOM)

    found = await find(ledger, "$b")
    assert found is not None
    assert (found.state, found.popup_key) == (State.SHOWN, None)
    assert await ledger.popups() == []


async def test_a_popup_tells_what_it_shows_by_position(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$b", "$a", "$gone", "$pending"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 1)
    await show(ledger, "$a", "$gone", "$b")
    await show(ledger, "$other", popup=make_popup(OTHER_ROOM))
    await ledger.settle([Settlement(EventId("$gone"), Move.WITHDRAWN)])

    assert [each.event_id for each in await ledger.shown_in(ROOM)] == ["$b", "$a"]
    assert await ledger.shown_in("unknown") == []


async def test_closing_an_unknown_popup_changes_nothing(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")

    await ledger.settle([], closed=OTHER_ROOM)

    assert await ledger.popups() == [make_popup()]


async def test_a_delivery_withdrawn_while_it_was_being_shown_leaves_a_stale_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.agenda(10)
    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)

    await show(ledger, "$a")

    assert await ledger.popups() == [make_popup(is_stale=True)]
    assert await count(ledger, State.CANCELLED) == 1


@pytest.mark.parametrize("move", [Move.SHOWN, Move.REPLACED])
async def test_a_delivery_edited_while_it_was_being_shown_leaves_a_stale_popup(ledger: Ledger, move: Move) -> None:
    await ledger.commit(make_plan("$a"), 1)
    if move is Move.REPLACED:
        await show(ledger, "$a")
    await ledger.agenda(10)
    await ledger.commit(Plan("s3", changes=(Edit(EventId("$a"), "corrected"),)), 2)

    await ledger.settle([Settlement(EventId("$a"), move)], shown=make_popup(digest="of the old text"))

    (delivery,) = (await ledger.agenda(10)).deliveries
    assert delivery.content == make_content("corrected")
    assert [popup.is_stale for popup in await ledger.popups()] == [True]


async def test_an_edit_that_was_seen_by_due_leaves_no_stale_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(Plan("s3", changes=(Edit(EventId("$a"), "corrected"),)), 2)
    await ledger.agenda(10)

    await show(ledger, "$a")

    assert await ledger.popups() == [make_popup()]


# A new life of the notification server


@pytest.mark.parametrize("server", [":1.99", None])
async def test_popups_of_another_server_are_forgotten_and_their_deliveries_stay_shown(
    ledger: Ledger, server: str | None
) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")

    await ledger.forget_popup_ids(server)

    assert await ledger.popups() == []
    found = await find(ledger, "$a")
    assert found is not None
    assert (found.state, found.popup_key, found.content) == (State.SHOWN, None, make_content())
    assert (await ledger.agenda(10)).deliveries == ()


async def test_popups_of_the_present_server_stay_known(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 1)
    await show(ledger, "$a", popup=make_popup(server="old"))
    await show(ledger, "$other", popup=make_popup(OTHER_ROOM, server="new"))

    await ledger.forget_popup_ids("new")

    assert await ledger.popups() == [make_popup(OTHER_ROOM, server="new")]


async def test_a_delivery_of_a_forgotten_popup_can_still_be_withdrawn(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")
    await ledger.settle([Settlement(EventId("$a"), Move.SERVER_RESTARTED)])
    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)

    assert await count(ledger, State.WITHDRAWN) == 1


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


# Closing


async def test_closing_twice_is_no_error(ledger: Ledger) -> None:
    await ledger.close()
    await ledger.close()


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


# Popups and what they show


async def test_a_popup_knows_some_of_those_who_wrote_what_it_shows(ledger: Ledger) -> None:
    deliveries = [
        make_delivery(f"${n}", content=make_content(sender_name=name)) for n, name in enumerate(["Bob", "Alice", "Bob"])
    ]
    await ledger.commit(make_plan(judged=(), deliveries=tuple(deliveries)), 1)
    await show(ledger, "$0", "$1")
    (popup,) = await ledger.popups()
    assert (popup.size, sorted(popup.senders)) == (2, ["Alice", "Bob"])


async def test_a_popup_names_no_more_than_ten(ledger: Ledger) -> None:
    deliveries = [make_delivery(f"${n}", content=make_content(sender_name=str(n))) for n in range(12)]
    await ledger.commit(make_plan(judged=(), deliveries=tuple(deliveries)), 1)
    await show(ledger, *(f"${n}" for n in range(12)))
    (popup,) = await ledger.popups()
    assert (popup.size, len(popup.senders)) == (12, 10)


async def test_pictures_of_members_are_kept_and_forgotten(ledger: Ledger) -> None:
    facts = make_facts(names={ALICE: "Alice", BOB: "Bob"}, avatars={ALICE: "mxc://x/a", BOB: "mxc://x/b"})
    await ledger.commit(Plan("s2", rooms=(RoomRecord(facts),)), 1)
    assert (await ledger.rooms([ROOM], [ALICE]))[ROOM].facts.avatars == {ALICE: "mxc://x/a"}

    gone = replace(facts, avatars={BOB: "mxc://x/b"})
    await ledger.commit(Plan("s3", rooms=(RoomRecord(gone),)), 2)
    assert (await ledger.rooms([ROOM], [ALICE, BOB]))[ROOM].facts.avatars == {BOB: "mxc://x/b"}


# Calls


async def test_calls_are_told_until_they_ring_no_more(ledger: Ledger) -> None:
    calls = [
        make_delivery(f"${ms}", content=make_content(category=Category.CALL, rings_until_ms=ms)) for ms in (2000, 1000)
    ]
    await ledger.commit(Plan("s2", deliveries=(*calls, make_delivery("$message"))), 1)
    ringing = (await ledger.agenda(1)).ringing
    assert [(each.event_id, each.content and each.content.rings_until_ms) for each in ringing] == [
        ("$1000", 1000),
        ("$2000", 2000),
    ]
    await ledger.change(
        [Rewrite(EventId("$1000"), make_content("Missed call")), Rewrite(EventId("$unknown"), make_content())]
    )
    await ledger.change([Withdrawal(EventId("$2000"), "answered")])
    agenda = await ledger.agenda(1)
    assert agenda.ringing == ()
    assert [each.content for each in agenda.deliveries] == [make_content("Missed call"), make_content()]


async def test_what_changes_between_syncs_makes_its_popup_stale(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.agenda(1)
    await ledger.settle([Settlement(EventId("$a"), Move.SHOWN)], shown=PopupRecord(ROOM, Popup("server", 1), "digest"))
    await ledger.change([Rewrite(EventId("$a"), make_content("Missed call"))])
    (record,) = (await ledger.agenda(1)).popups
    assert record.is_stale
