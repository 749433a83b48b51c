"""A case is read as it is written down, and each part of a wrong shape is named."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from heliograph.core.push.case import NotACase, read_case, verdict_as_json
from heliograph.core.push.context import FACTS, Context
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import SILENT
from support.builders import ALICE, ME, ROOM, make_event
from support.rule_builders import make_rule, with_body

EVENT = with_body("hello")


def test_every_fact_has_its_name() -> None:
    related = {"m.in_reply_to": with_body("lunch?")}
    case = read_case(
        {
            "event": EVENT,
            "user_id": ME,
            "display_name": "Me",
            "member_count": 3,
            "power_levels": {"users_default": 5},
            "sender_power_level": 0,
            "creators": [ALICE],
            "room_version": "11",
            "related": related,
            "thread_subscribed": True,
            "somebody's note": 1,
        }
    )

    assert case.event == EVENT
    assert case.context == Context(
        user_id=ME,
        display_name="Me",
        member_count=3,
        power_levels={"users_default": 5},
        sender_power_level=0,
        creators=frozenset({ALICE}),
        room_version="11",
        related=related,
        thread_subscribed=True,
    )


def test_a_case_may_have_every_fact_of_the_context() -> None:
    assert {each.name for each in fields(Context)} - {"user_id"} == set(FACTS)


def test_what_is_not_given_is_not_known() -> None:
    assert read_case({"event": EVENT}).context == Context("")
    assert read_case({"event": EVENT, "display_name": None, "member_count": None, "clear": None}).context == Context("")


def test_the_event_is_judged_as_its_payload_was_decrypted() -> None:
    relation = {"rel_type": "m.replace", "event_id": "$other"}
    encrypted = make_event(type="m.room.encrypted", content={"m.relates_to": relation}).raw
    clear = {"type": "m.room.message", "room_id": ROOM, "content": {"body": "hello"}}

    event = read_case({"event": encrypted, "clear": clear}).event

    assert (event["type"], event["content"]) == ("m.room.message", {"body": "hello", "m.relates_to": relation})


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"event": None}, "there is no event"),
        ({"event": []}, "event is not an object"),
        ({"user_id": 1}, "user_id is not a string"),
        ({"display_name": {}}, "display_name is not a string"),
        ({"member_count": "3"}, "member_count is not an integer"),
        ({"member_count": True}, "member_count is not an integer"),
        ({"member_count": 3.0}, "member_count is not an integer"),
        ({"power_levels": '{"users": {}}'}, "power_levels is not an object"),
        ({"sender_power_level": "100"}, "sender_power_level is not an integer"),
        ({"creators": ALICE}, "creators is not an array"),
        ({"creators": [None]}, "a creator is not a string"),
        ({"room_version": 11}, "room_version is not a string"),
        ({"related": []}, "related is not an object"),
        ({"related": {"m.in_reply_to": "$event"}}, "an event in related is not an object"),
        ({"thread_subscribed": 1}, "thread_subscribed is not a boolean"),
        ({"clear": "text"}, "clear is not an object"),
    ],
)
def test_a_part_of_a_wrong_shape_is_named(part: dict[str, Any], problem: str) -> None:
    with pytest.raises(NotACase) as raised:
        read_case({"event": EVENT, **part})

    assert str(raised.value) == problem


def test_a_user_who_is_not_named_sends_nothing_and_is_mentioned_by_nobody() -> None:
    case = read_case({"event": with_body("x", sender=ME)})

    verdict = Ruleset.parse(predefined_rules(case.context.user_id)).judge(case.event, case.context)

    assert verdict.rule == "underride/.m.rule.message"


def test_a_verdict_says_all_there_is_to_say() -> None:
    actions = ["notify", {"set_tweak": "highlight"}, {"set_tweak": "sound", "value": "ring"}]
    verdict = Ruleset.parse({"override": [make_rule("mine", *actions)]}).judge(EVENT, Context(ME))

    assert verdict_as_json(verdict) == {
        "notify": True,
        "rule": "override/mine",
        "actions": actions,
        "highlight": True,
        "sound": "ring",
    }
    assert verdict_as_json(SILENT) == {"notify": False, "rule": None, "actions": [], "highlight": False, "sound": None}
