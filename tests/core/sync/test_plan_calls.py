"""What ends a call in a sync, and what that does to its notification."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.events import Event, Malformed
from heliograph.core.ids import EventId
from heliograph.core.notification import Category
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState, Delivery, Plan, Rewrite, RoomRecord, Withdrawal
from heliograph.core.sync.calls import miss
from heliograph.core.sync.needs import rooms_changing_deliveries
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Mode, Situation
from support.builders import (
    ALICE,
    BOB,
    ME,
    ROOM,
    make_content,
    make_delivery,
    make_event,
    make_facts,
    make_server_notification,
    make_sync,
)

NOW = 1_700_000_100_000
OTHER_ROOM = "!other:example.org"
RINGING = make_content("Incoming call", category=Category.CALL, rings_until_ms=NOW + 1000)


def invite(event_id: str = "$call", **options: Any) -> Event:
    values = {"type": "m.call.invite", "content": {"lifetime": 60_000}, "ts": NOW, **options}
    return make_event(event_id=event_id, **values)


def act(type_: str, sender: str) -> Event:
    return make_event(type=type_, sender=sender, content={})


def plan_call(
    *events: Event, open_deliveries: tuple[Delivery, ...] = (), mode: Mode = Mode.LOCAL, listed: tuple[Event, ...] = ()
) -> Plan:
    situation = Situation(
        ME,
        mode,
        AccountState(),
        Ruleset.parse(predefined_rules(ME)),
        rooms={ROOM: RoomRecord(make_facts())},
        open_deliveries=open_deliveries,
        now_ms=NOW,
    )
    notifications = tuple(make_server_notification(each, "notify") for each in listed)
    return plan(replace(make_sync(*events), notifications=notifications), situation)


def test_a_call_rings_as_one_until_its_time_is_over() -> None:
    (delivery,) = plan_call(invite()).deliveries
    assert delivery.content is not None
    assert delivery.content.category is Category.CALL
    assert delivery.content.rings_until_ms == NOW + 60_000


def test_a_call_that_is_over_when_it_comes_was_missed() -> None:
    (delivery,) = plan_call(invite(unsigned={"age": 100_000})).deliveries
    assert delivery.content is not None
    assert (delivery.content.text, delivery.content.category) == ("Missed call", Category.MESSAGE)


def test_a_call_answered_elsewhere_in_the_same_sync_never_rings() -> None:
    result = plan_call(invite(), act("m.call.answer", ME))
    assert result.deliveries == ()
    assert result.judged[0].reason == "answered or declined on another device"


def test_the_end_of_the_call_before_leaves_the_one_that_rings() -> None:
    content = {"lifetime": 60_000, "call_id": "second"}
    hangups = [
        make_event(type="m.call.hangup", sender=ALICE, content={"call_id": each}) for each in ("first", "second")
    ]
    (delivery,) = plan_call(invite(content=content), hangups[0]).deliveries
    assert delivery.content is not None
    assert (delivery.content.category, delivery.content.call_id) == (Category.CALL, "second")
    (missed,) = plan_call(invite(content=content), *hangups).deliveries
    assert missed.content is not None
    assert (missed.content.category, missed.content.call_id) == (Category.MESSAGE, "")


def test_a_caller_who_hung_up_in_the_same_sync_was_missed() -> None:
    (delivery,) = plan_call(invite(), act("m.call.hangup", ALICE)).deliveries
    assert delivery.content is not None
    assert delivery.content.text == "Missed call"


def test_a_call_that_comes_after_the_end_of_another_rings() -> None:
    deliveries = plan_call(invite("$one"), act("m.call.hangup", ALICE), invite("$two")).deliveries
    assert [each.content.text for each in deliveries if each.content] == ["Missed call", "Incoming call"]


@pytest.mark.parametrize("mode", Mode)
def test_the_end_of_a_call_does_not_concern_one_after_it(mode: Mode) -> None:
    """In direct mode the homeserver's list has both calls before the timeline has the end of the first."""
    calls = invite("$one"), invite("$two")
    deliveries = plan_call(calls[0], act("m.call.answer", ME), calls[1], mode=mode, listed=calls).deliveries
    assert [each.event_id for each in deliveries] == ["$two"]


def test_what_is_on_screen_goes_when_it_is_answered_elsewhere() -> None:
    call = make_delivery("$call", content=RINGING)
    elsewhere = make_delivery("$elsewhere", content=RINGING, room_id=OTHER_ROOM)
    result = plan_call(act("m.call.answer", ME), open_deliveries=(call, elsewhere, make_delivery("$message")))
    assert result.changes == (Withdrawal(EventId("$call"), "answered or declined on another device"),)


def test_what_is_on_screen_says_so_when_it_was_missed() -> None:
    result = plan_call(act("m.call.hangup", ALICE), open_deliveries=(make_delivery("$call", content=RINGING),))
    (change,) = result.changes
    assert isinstance(change, Rewrite)
    assert change.content.text == "Missed call"


def test_the_open_deliveries_of_a_room_are_looked_at_when_a_call_ends_there() -> None:
    assert rooms_changing_deliveries(make_sync(act("m.call.hangup", ALICE)), ME, {}) == {ROOM}
    assert rooms_changing_deliveries(make_sync(make_event()), ME, {}) == frozenset()


def test_a_call_for_somebody_else_is_silent() -> None:
    result = plan_call(invite(content={"invitee": BOB}))
    assert result.deliveries == ()
    assert result.judged[0].reason == "a call for somebody else"


def test_a_call_by_matrixrtc_can_be_declined() -> None:
    rings = {"m.mentions": {"user_ids": [ME]}, "lifetime": 30_000}
    (delivery,) = plan_call(invite(type="org.matrix.msc4075.rtc.notification", content=rings)).deliveries
    assert delivery.content is not None
    assert delivery.content.can_decline
    assert not miss(delivery.content).can_decline


@pytest.mark.parametrize(("sender", "is_over"), [(ME, True), (ALICE, False)])
def test_the_users_own_part_in_a_call_that_a_gap_hides_ends_its_ringing(sender: str, is_over: bool) -> None:
    member = make_event(type="m.rtc.member", sender=sender, content={"member": {"id": "a"}, "application": {}})
    sync = make_sync(sticky=(member, make_event(sender=ME), Malformed("sticky", "odd")))
    call = make_delivery("$call", content=RINGING)
    situation = Situation(ME, Mode.LOCAL, AccountState(), Ruleset.parse(predefined_rules(ME)), open_deliveries=(call,))
    assert rooms_changing_deliveries(sync, ME, {}) == {ROOM}
    assert bool(plan(sync, situation).changes) is is_over
