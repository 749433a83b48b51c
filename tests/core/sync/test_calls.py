"""How long calls ring, and what ends that."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.ids import EventId
from heliograph.core.notification import Category
from heliograph.core.record import Delivery
from heliograph.core.sync.calls import (
    DECLINE,
    ENDING_TYPES,
    Ending,
    call_id_of,
    can_decline,
    decline_content,
    ending_of,
    is_for,
    miss,
    rings_until,
)
from support.builders import ALICE, BOB, ME, make_content, make_delivery, make_event

MEMBER = "org.matrix.msc3401.call.member"
NOW = 1_700_000_100_000


def ringing() -> Delivery:
    return make_delivery("$call", content=make_content("Incoming call", category=Category.CALL))


def end(type_: str, sender: str, content: dict[str, Any] | None = None, state_key: str | None = None) -> Ending | None:
    event = make_event(type=type_, sender=sender, content=content or {}, state_key=state_key)
    return ending_of(event, ringing(), ME)


@pytest.mark.parametrize("type_", ["m.call.answer", "m.call.reject", "m.call.hangup", "m.rtc.decline"])
def test_a_call_that_is_taken_or_declined_on_another_device_rings_no_more(type_: str) -> None:
    assert end(type_, ME) is Ending.TAKEN


@pytest.mark.parametrize("type_", ["m.call.answer", "m.call.reject", "m.rtc.decline", "m.call.hangup"])
def test_what_others_than_the_user_and_the_caller_do_ends_nothing(type_: str) -> None:
    assert end(type_, BOB) is None


def test_a_caller_who_hangs_up_was_missed() -> None:
    assert end("m.call.hangup", ALICE) is Ending.MISSED
    assert end("m.call.answer", ALICE) is None


@pytest.mark.parametrize(
    ("content", "is_there"),
    [
        ({"memberships": [{"device_id": "D"}]}, True),
        ({"memberships": []}, False),
        ({"application": "m.call", "device_id": "D"}, True),
        ({}, False),
    ],
)
def test_whoever_joins_a_call_takes_it_and_a_caller_who_leaves_gives_it_up(
    content: dict[str, Any], is_there: bool
) -> None:
    assert end(MEMBER, ME, content, "_@me:example.org_D") is (Ending.TAKEN if is_there else None)
    assert end(MEMBER, ALICE, content, "_@alice:example.org_D") is (None if is_there else Ending.MISSED)
    assert end(MEMBER, ME, content) is None


def test_declining_one_call_leaves_others() -> None:
    decline = {"m.relates_to": {"rel_type": "m.reference", "event_id": "$another"}}
    assert end("org.matrix.msc4310.rtc.decline", ME, decline) is None
    decline["m.relates_to"]["event_id"] = "$call"
    assert end("org.matrix.msc4310.rtc.decline", ME, decline) is Ending.TAKEN


def test_a_call_whose_caller_has_chosen_another_answer_was_answered_elsewhere() -> None:
    content = {"call_id": "c", "party_id": "a", "selected_party_id": "b"}
    assert end("m.call.select_answer", ALICE, content) is Ending.ELSEWHERE
    assert end("m.call.select_answer", BOB, content) is None
    assert end("m.call.select_answer", ME, content) is None


@pytest.mark.parametrize("type_", ["m.call.answer", "m.call.reject", "m.call.hangup", "m.call.select_answer"])
def test_the_end_of_one_call_of_two_leaves_another(type_: str) -> None:
    call = make_delivery("$call", content=make_content(category=Category.CALL, call_id="second"))
    sender = ALICE if type_ == "m.call.select_answer" else ME
    for call_id, is_over in (("first", False), ("second", True), (7, True), (None, True)):
        ending = ending_of(make_event(type=type_, sender=sender, content={"call_id": call_id}), call, ME)
        assert (ending is not None) is is_over
    assert call_id_of(make_event(type="m.call.invite", content={"call_id": "x" * 999})) == "x" * 255


def test_only_calls_are_ended_by_this() -> None:
    hangup = make_event(type="m.call.hangup", sender=ME, content={})
    assert ending_of(hangup, make_delivery(), ME) is None
    assert ending_of(hangup, make_delivery(content=None), ME) is None


@pytest.mark.parametrize(
    ("type_", "sender", "ending"),
    [
        ("m.call.answer", ME, Ending.TAKEN),
        ("m.call.select_answer", ALICE, None),
        ("m.call.hangup", ALICE, None),
        ("m.room.message", ME, None),
    ],
)
def test_whoever_takes_a_call_elsewhere_has_seen_which_were_missed(
    type_: str, sender: str, ending: Ending | None
) -> None:
    missed = make_delivery("$call", content=miss(make_content("Incoming call", category=Category.CALL, call_id="one")))
    event = make_event(type=type_, sender=sender, content={"call_id": "two"})
    assert ending_of(event, missed, ME) is ending


def test_a_message_ends_no_call() -> None:
    assert end("m.room.message", ME) is None
    assert "m.room.message" not in ENDING_TYPES


@pytest.mark.parametrize(
    ("lifetime", "age", "left"),
    [
        (60_000, 1_000, 59_000),
        (60_000, None, 60_000),
        (None, None, 60_000),
        ("long", "old", 60_000),
        (True, True, 60_000),
        (10**15, 0, 300_000),
        (60_000, -5_000, 60_000),
        (60_000, 60_000, None),
        (0, 0, None),
        (-1, 0, None),
    ],
)
def test_a_call_rings_for_as_long_as_its_caller_wants_within_reason(lifetime: Any, age: Any, left: int | None) -> None:
    event = make_event(type="m.call.invite", content={"lifetime": lifetime}, ts=NOW, unsigned={"age": age})
    assert rings_until(event, NOW, is_late=False) == (None if left is None else NOW + left)


@pytest.mark.parametrize("type_", ["m.call.invite", "m.rtc.notification", "org.matrix.msc4075.rtc.notification"])
@pytest.mark.parametrize("unsigned", [None, {}, {"age": 0}, {"age": -7_200_000}, {"age": "new"}, {"age": 7_200_000}])
def test_an_old_call_does_not_ring_whatever_its_age_says(type_: str, unsigned: Any) -> None:
    event = make_event(type=type_, content={"lifetime": 30_000}, ts=NOW - 7_200_000, unsigned=unsigned)
    assert rings_until(event, NOW, is_late=False) is None


@pytest.mark.parametrize(
    ("sender_ts", "sent_ms"),
    [(NOW - 19_000, NOW - 19_000), (NOW - 20_001, NOW), (NOW + 20_001, NOW), ("late", NOW), (None, NOW), (True, NOW)],
)
def test_a_call_began_when_its_sender_says_unless_the_clocks_are_far_apart(sender_ts: Any, sent_ms: int) -> None:
    content = {"lifetime": 30_000, "sender_ts": sender_ts}
    event = make_event(type="m.rtc.notification", content=content, ts=NOW, unsigned={"age": 10**9})
    assert rings_until(event, NOW, is_late=False) == sent_ms + 30_000


def test_a_call_from_the_future_has_just_begun() -> None:
    event = make_event(type="m.call.invite", content={}, ts=NOW + 10**12)
    assert rings_until(event, NOW, is_late=False) == NOW + 60_000


@pytest.mark.parametrize(
    ("type_", "content", "rings"),
    [
        ("m.call.invite", {}, True),
        ("m.call.invite", {"invitee": ME}, True),
        ("m.call.invite", {"invitee": None}, True),
        ("m.call.invite", {"invitee": BOB}, False),
        ("m.rtc.notification", {}, True),
        ("m.rtc.notification", {"m.mentions": {"user_ids": [BOB, ME]}}, True),
        ("m.rtc.notification", {"m.mentions": {"room": True}}, True),
        ("m.rtc.notification", {"m.mentions": {"user_ids": [BOB]}}, False),
        ("m.rtc.notification", {"m.mentions": {"user_ids": ME}}, False),
        ("m.rtc.notification", {"m.mentions": "all"}, True),
        ("m.room.message", {"m.mentions": {}, "invitee": BOB}, True),
    ],
)
def test_a_call_is_for_whom_it_names(type_: str, content: dict[str, Any], rings: bool) -> None:
    assert is_for(make_event(type=type_, content=content), ME) is rings


RTC_MEMBER = {"slot_id": "m.call#ROOM", "application": {"type": "m.call"}, "member": {"id": "a"}}


@pytest.mark.parametrize("state_key", [None, "_@me:example.org_D"])
@pytest.mark.parametrize("type_", ["m.rtc.member", "org.matrix.msc4143.rtc.member"])
@pytest.mark.parametrize(
    ("content", "is_there"),
    [
        (RTC_MEMBER, True),
        ({"member": {"id": "a", "membership": "join"}, "msc4354_sticky_key": "a"}, True),
        ({"member": {"id": "a", "membership": "leave"}, "msc4354_sticky_key": "a"}, False),
        ({"msc4354_sticky_key": "a", "disconnect_reason": {"class": "user_action"}}, False),
        ({}, False),
    ],
)
def test_a_call_is_taken_by_a_member_event_in_state_or_a_sticky_one(
    type_: str, state_key: str | None, content: dict[str, Any], is_there: bool
) -> None:
    assert end(type_, ME, content, state_key) is (Ending.TAKEN if is_there else None)
    assert end(type_, ALICE, content, state_key) is (None if is_there else Ending.MISSED)


def test_only_calls_by_matrixrtc_are_declined_by_an_event() -> None:
    assert can_decline(make_event(type="org.matrix.msc4075.rtc.notification"))
    assert not can_decline(make_event(type="m.call.invite"))
    decline = make_event(type=DECLINE, sender=ME, content=dict(decline_content(EventId("$call"))))
    assert ending_of(decline, ringing(), ME) is Ending.TAKEN


def test_a_call_that_could_be_read_late_rings_if_it_was_sent_lately() -> None:
    old = make_event(type="m.call.invite", content={}, ts=NOW - 70_000, unsigned={"age": 5})
    new = make_event(type="m.call.invite", content={}, ts=NOW - 20_000, unsigned={"age": 5})
    assert rings_until(old, NOW, is_late=True) is None
    assert rings_until(new, NOW, is_late=True) == NOW + 40_000


@pytest.mark.parametrize(("sound", "then"), [("ring", "default"), (None, None)])
def test_a_missed_call_is_a_message_like_others(sound: str | None, then: str | None) -> None:
    call = make_content("Incoming call", category=Category.CALL, sound=sound, rings_until_ms=NOW)
    assert miss(call) == make_content("Missed call", sound=then)
