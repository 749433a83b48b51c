"""What every ledger does: the fake, and SQLite on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.ledgers import OTHER_ROOM, count, find, make_judged, make_plan, make_popup, show
from heliograph.core.delivery import Move, State
from heliograph.core.events import AccountData
from heliograph.core.ids import EventId, OwnKey, RoomId, UserId
from heliograph.core.notification import Category
from heliograph.core.record import (
    UNLISTED,
    AccountState,
    Content,
    Decision,
    Delivery,
    Edit,
    Plan,
    RoomRecord,
    Withdrawal,
)
from heliograph.ports.ledger import Ledger, Settlement
from support.builders import ALICE, BOB, ROOM, make_content, make_delivery, make_facts

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
        shows_invite_avatars=True,
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

    changed = AccountData(ignored_users=frozenset(), is_silenced=True, shows_invite_avatars=False)
    await ledger.commit(Plan("s2", account_data=changed), 9)

    assert await ledger.account() == AccountState(
        next_batch="s2",
        push_rules={"global": {}},
        direct_rooms=frozenset({ROOM}),
        ignored_users=frozenset(),
        is_silenced=True,
        shows_invite_avatars=False,
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
        can_decline=True,
        call_id="call",
    )
    delivery = Delivery(
        EventId("$a"), ROOM, ALICE, content, thread_root=EventId("$root"), edits=EventId("$b"), due_ms=70
    )

    await ledger.commit(make_plan(judged=(make_judged("$a"),), deliveries=(delivery,)), 1)

    position = (await ledger.positions([EventId("$a")]))[EventId("$a")]
    assert await find(ledger, "$a") == Delivery(
        EventId("$a"),
        ROOM,
        ALICE,
        content,
        thread_root=EventId("$root"),
        edits=EventId("$b"),
        due_ms=70,
        position=position,
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


async def test_rooms_are_told_in_which_somebody_wrote_what_is_open_invites_included(ledger: Ledger) -> None:
    invite = make_delivery(f"invite:{OTHER_ROOM}:0", room_id=OTHER_ROOM, sender=BOB)
    judged = make_judged(invite.event_id, room_id=OTHER_ROOM, sender=BOB)
    await ledger.commit(Plan("s1", judged=(judged,), deliveries=(invite,)), 1)
    await ledger.commit(make_plan("$a"), 2)
    assert await ledger.rooms_open_by([BOB]) == {OTHER_ROOM}
    assert await ledger.rooms_open_by([BOB, ALICE]) == {ROOM, OTHER_ROOM}
    await ledger.change([Withdrawal(invite.event_id, "its sender is ignored")])
    assert await ledger.rooms_open_by([BOB]) == frozenset()


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


async def test_places_are_those_of_timelines_whatever_was_heard_of_first(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$listed", "$also listed"), 1)
    assert await ledger.places([EventId("$listed")]) == {}

    timeline = (EventId("$a"), EventId("$listed"), EventId("$b"))
    await ledger.commit(make_plan("$a", "$b", timelines=(timeline, (EventId("$elsewhere"),))), 2)

    places = await ledger.places([*timeline, EventId("$also listed"), EventId("$elsewhere")])
    assert sorted(places, key=places.__getitem__) == list(timeline)


async def test_an_event_above_one_that_has_a_place_gets_none(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$b", timelines=((EventId("$b"),),)), 1)
    await ledger.commit(make_plan("$a", "$c", timelines=((EventId("$a"), EventId("$b"), EventId("$c")),)), 2)

    places = await ledger.places([EventId("$a"), EventId("$b"), EventId("$c")])
    assert sorted(places, key=places.__getitem__) == ["$b", "$c"]


@pytest.mark.parametrize(
    "late",
    [
        Plan("s2", rejudged=(make_judged("$a"),), deliveries=(make_delivery("$a"),)),
        Plan("s2", judged=(make_judged("$a"),), deliveries=(make_delivery("$a"),)),
        Plan("s2", judged=(make_judged("$a"),)),
    ],
    ids=["judged again", "listed late", "listed late and not delivered"],
)
async def test_what_rings_only_later_keeps_its_place(ledger: Ledger, late: Plan) -> None:
    unlisted = make_judged("$a", decision=Decision.SILENT, reason=UNLISTED)
    timeline = (EventId("$a"), EventId("$b"))
    await ledger.commit(Plan("s1", judged=(unlisted, make_judged("$b")), timelines=(timeline,)), 1)
    before = await ledger.places(timeline)

    await ledger.commit(late, 2)

    assert (await find(ledger, "$a") is not None) is bool(late.deliveries)
    assert await ledger.places(timeline) == before


async def test_threads_are_those_of_what_was_judged(ledger: Ledger) -> None:
    judged = (make_judged("$a", sender=ALICE, thread_root=EventId("$root")), make_judged("$b", sender=ALICE))
    await ledger.commit(Plan("s1", judged=(*judged, make_judged("$malformed"))), 1)

    asked = [EventId("$a"), EventId("$b"), EventId("$malformed"), EventId("$unknown")]
    assert await ledger.threads(asked) == {"$a": "$root", "$b": "main"}


async def test_that_the_homeserver_counts_is_remembered(ledger: Ledger) -> None:
    await ledger.commit(Plan("s1", has_counted=True), 1)
    await ledger.commit(make_plan("$a"), 2)
    assert (await ledger.account()).has_counted


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


# Closing


async def test_closing_twice_is_no_error(ledger: Ledger) -> None:
    await ledger.close()
    await ledger.close()
