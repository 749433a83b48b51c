"""How long calls ring, and what ends that."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.notification import Category
from heliograph.core.record import Delivery
from heliograph.core.sync.calls import ENDING_TYPES, Ending, ending_of, miss, rings_until
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


def test_only_calls_are_ended_by_this() -> None:
    hangup = make_event(type="m.call.hangup", sender=ME, content={})
    assert ending_of(hangup, make_delivery(), ME) is None
    assert ending_of(hangup, make_delivery(content=None), ME) is None


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
    event = make_event(type="m.call.invite", content={"lifetime": lifetime}, unsigned={"age": age})
    assert rings_until(event, NOW, is_late=False) == (None if left is None else NOW + left)


def test_a_call_whose_age_nobody_tells_has_just_begun() -> None:
    assert rings_until(make_event(type="m.call.invite", content={}), NOW, is_late=False) == NOW + 60_000


def test_a_call_that_could_be_read_late_rings_if_it_was_sent_lately() -> None:
    old = make_event(type="m.call.invite", content={}, ts=NOW - 70_000, unsigned={"age": 5})
    new = make_event(type="m.call.invite", content={}, ts=NOW - 20_000, unsigned={"age": 5})
    assert rings_until(old, NOW, is_late=True) is None
    assert rings_until(new, NOW, is_late=True) == NOW + 40_000


@pytest.mark.parametrize(("sound", "then"), [("ring", "default"), (None, None)])
def test_a_missed_call_is_a_message_like_others(sound: str | None, then: str | None) -> None:
    call = make_content("Incoming call", category=Category.CALL, sound=sound, rings_until_ms=NOW)
    assert miss(call) == make_content("Missed call", sound=then)
