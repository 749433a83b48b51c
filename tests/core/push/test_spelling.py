"""Conditions and actions as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.desired_rule import Refusal
from heliograph.core.push.spelling import read_action, read_condition
from support.rule_builders import match


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("type=m.room.message", match("type", "m.room.message")),
        ("content.body = code review ", match("content.body", "code review")),
        ("state_key=", match("state_key", "")),
        ("content.url=https://x/?a=b", match("content.url", "https://x/?a=b")),
        (r"content.m\.x=*", match(r"content.m\.x", "*")),
        ("content.x==true", {"kind": "event_property_is", "key": "content.x", "value": True}),
        ("content.x==null", {"kind": "event_property_is", "key": "content.x", "value": None}),
        ("content.x == -7", {"kind": "event_property_is", "key": "content.x", "value": -7}),
        ("content.x==seven", {"kind": "event_property_is", "key": "content.x", "value": "seven"}),
        ('content.x=="7"', {"kind": "event_property_is", "key": "content.x", "value": "7"}),
        ("content.x contains 7", {"kind": "event_property_contains", "key": "content.x", "value": 7}),
        ("content.x  contains @me:x", {"kind": "event_property_contains", "key": "content.x", "value": "@me:x"}),
        ("content.x contains a=b", {"kind": "event_property_contains", "key": "content.x", "value": "a=b"}),
        ("display-name", {"kind": "contains_display_name"}),
        ("members=2", {"kind": "room_member_count", "is": "2"}),
        ("members==2", {"kind": "room_member_count", "is": "2"}),
        ("members > 10", {"kind": "room_member_count", "is": ">10"}),
        ("members<=10", {"kind": "room_member_count", "is": "<=10"}),
        ("sender-may-notify=room", {"kind": "sender_notification_permission", "key": "room"}),
        ('{"kind": "org.matrix.msc3914.call_started"}', {"kind": "org.matrix.msc3914.call_started"}),
        (' {"kind": "event_match", "key": "a=b", "pattern": " "}', match("a=b", " ")),
    ],
)
def test_a_condition_is_read(text: str, condition: dict[str, Any]) -> None:
    assert read_condition(text) == condition


@pytest.mark.parametrize("text", ["", "type", "=x", "two words", "contains x", "members", "a b=c"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="is not a condition"):
        read_condition(text)


@pytest.mark.parametrize("text", ["{", "{} {}", '{"a":' * 100_000, "{'kind': 1}"])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="is not a JSON object") as refused:
        read_condition(text)
    assert len(refused.value.title) < 300


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"kind": "org.example.unheard"}', "its kind is not known"),
        ("{}", "a condition has no kind"),
        ('{"kind": "event_match", "key": "type"}', "event_match has no string pattern"),
        ("content.x==1.5", "no value that is a string, an integer"),
        ("content.x==[1]", "no value that is a string, an integer"),
        ("content.x contains 9007199254740992", "no value that is a string, an integer"),
        ("members=99999999999999999999", "no number of members"),
        ("type=" + "a*" * 1_000, "a pattern has more than"),
    ],
)
def test_a_condition_that_never_holds_is_refused_and_the_reason_told(text: str, why: str) -> None:
    with pytest.raises(Refusal, match="never holds") as refused:
        read_condition(text)
    assert why in refused.value.title


def test_an_action_is_notify_or_a_tweak() -> None:
    assert read_action("notify") == "notify"
    assert read_action('{"set_tweak": "highlight"}') == {"set_tweak": "highlight"}
    for text in ("dont_notify", "coalesce", "", "{}", '{"set_tweak": 1}'):
        with pytest.raises(Refusal, match="is not an action"):
            read_action(text)
