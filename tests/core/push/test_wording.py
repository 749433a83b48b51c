"""Rules in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.phrases import Names
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rule import Rule
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import verdict_of
from heliograph.core.push.wording import find_trouble, word_rule, word_verdict
from support.builders import ALICE, ME, ROOM
from support.rule_builders import make_rule, match

NAMES = Names(ME, {ROOM: "Lunch"})


def one(kind: str, rule: dict[str, Any]) -> Rule:
    [read] = Ruleset.parse({kind: [rule]}).rules
    return read


def when(*conditions: Any) -> str:
    sentence = word_rule(one("override", make_rule(conditions=list(conditions))), NAMES)
    assert sentence.endswith(": notify.")
    return sentence.removesuffix(": notify.")


def test_the_predefined_rules_read_like_this() -> None:
    sentences = {rule.rule_id: word_rule(rule, NAMES) for rule in Ruleset.parse(predefined_rules(ME)).rules}
    assert sentences == {
        ".m.rule.master": "Always: stay silent.",
        ".m.rule.suppress_notices": "When it is a notice, as bots send: stay silent.",
        ".m.rule.invite_for_me": (
            "When it is about a member and content.membership is “invite” and it is about you: notify, with sound."
        ),
        ".m.rule.member_event": "When it is about a member: stay silent.",
        ".m.rule.is_user_mention": "When it mentions you: notify, with sound, highlighted.",
        ".m.rule.is_room_mention": (
            "When it mentions the whole room and its sender may notify the whole room: notify, highlighted."
        ),
        ".m.rule.tombstone": "When the room is replaced by another and state_key is “”: notify, highlighted.",
        ".m.rule.reaction": "When it is a reaction: stay silent.",
        ".m.rule.room.server_acl": "When it says which servers may take part and state_key is “”: stay silent.",
        ".m.rule.suppress_edits": "When it is an edit: stay silent.",
        ".m.rule.call": "When it is a call: notify, with the sound “ring”.",
        ".m.rule.encrypted_room_one_to_one": ("When the room has 2 members and it is encrypted: notify, with sound."),
        ".m.rule.room_one_to_one": "When the room has 2 members and it is a message: notify, with sound.",
        ".m.rule.message": "When it is a message: notify.",
        ".m.rule.encrypted": "When it is encrypted: notify.",
    }


@pytest.mark.parametrize(
    ("kind", "rule", "sentence"),
    [
        ("content", make_rule(pattern="lunch"), "When it says “lunch”: notify."),
        ("content", make_rule(pattern="l*"), "When it says something like “l*”: notify."),
        ("room", make_rule(ROOM), f"When it is in Lunch ({ROOM}): notify."),
        ("room", make_rule("!else:x"), "When it is in !else:x: notify."),
        ("sender", make_rule(ALICE), f"When it is from {ALICE}: notify."),
        ("underride", make_rule(conditions=[]), "Always: notify."),
        (
            "content",
            make_rule(".m.rule.contains_user_name", pattern="me"),
            "When it comes from an old client, which marks no mentions and it says “me”: notify.",
        ),
    ],
)
def test_every_kind_of_rule_has_its_sentence(kind: str, rule: dict[str, Any], sentence: str) -> None:
    assert word_rule(one(kind, rule), NAMES) == sentence


@pytest.mark.parametrize(
    ("condition", "clause"),
    [
        (match("type", "M.Room.Message"), "it is a message"),
        (match("type", "org.example.x"), "its type is org.example.x"),
        (match("type", "m.*"), "type is like “m.*”"),
        (match("content.msgtype", "m.text"), "content.msgtype is “m.text”"),
        (match("room_id", "!a*"), "room_id is like “!a*”"),
        (match("sender", ME), "it is from you"),
        (match("state_key", ALICE), f"state_key is “{ALICE}”"),
        ({"kind": "event_property_is", "key": "room_id", "value": ROOM}, f"it is in Lunch ({ROOM})"),
        ({"kind": "event_property_is", "key": "sender", "value": 1}, "sender is 1"),
        ({"kind": "event_property_is", "key": "content.x", "value": None}, "content.x is null"),
        ({"kind": "event_property_is", "key": "content.x", "value": "y"}, 'content.x is "y"'),
        ({"kind": "event_property_contains", "key": "content.x", "value": False}, "content.x contains false"),
        (
            {"kind": "event_property_contains", "key": r"content.m\.mentions.user_ids", "value": ALICE},
            f"it mentions {ALICE}",
        ),
        ({"kind": "contains_display_name"}, "it contains your display name"),
        ({"kind": "room_member_count", "is": "1"}, "the room has 1 member"),
        ({"kind": "room_member_count", "is": "==02"}, "the room has 2 members"),
        ({"kind": "room_member_count", "is": "<3"}, "the room has fewer than 3 members"),
        ({"kind": "room_member_count", "is": ">3"}, "the room has more than 3 members"),
        ({"kind": "room_member_count", "is": "<=3"}, "the room has at most 3 members"),
        ({"kind": "room_member_count", "is": ">=0"}, "the room has at least 0 members"),
        ({"kind": "sender_notification_permission", "key": "x"}, "its sender may notify “x”"),
        ({"kind": "org.matrix.msc3931.room_version_supports", "feature": "x"}, "the room's version has “x”"),
        ({"kind": "io.element.msc4306.thread_subscription", "subscribed": True}, "it is in a thread that you follow"),
        (
            {"kind": "io.element.msc4306.thread_subscription", "subscribed": False},
            "it is in a thread that you do not follow",
        ),
        ({"kind": "im.nheko.msc3664.related_event_match", "rel_type": "m.in_reply_to"}, "it is a reply"),
        ({"kind": "im.nheko.msc3664.related_event_match", "rel_type": "x.y"}, "it is related (x.y)"),
        (
            {
                "kind": "im.nheko.msc3664.related_event_match",
                "rel_type": "m.in_reply_to",
                "key": "sender",
                "pattern": ME,
            },
            "it is a reply to an event of which it is from you",
        ),
        ({"kind": "org.matrix.msc3914.call_started"}, "a call begins"),
        ({"kind": "unheard.of"}, 'a condition holds that never does ({"kind": "unheard.of"})'),
        (7, "a condition holds that never does ({})"),
    ],
)
def test_every_condition_has_its_clause(condition: Any, clause: str) -> None:
    assert when(condition) == f"When {clause}"


def test_conditions_nested_out_of_measure_are_not_shown() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert when({"kind": "unheard.of", "x": deep}).endswith("(too deep to be shown)")


def test_what_strangers_wrote_is_one_line_of_bounded_length() -> None:
    nasty = "\x1b[31m\u202e\ud800\n" + "x" * 10_000
    rule = one("override", make_rule(conditions=[match("type", nasty), match(nasty[:900], nasty)]))
    sentence = word_rule(rule, Names(ME, {ROOM: nasty}))
    assert sentence.isprintable()
    assert len(sentence) < 500
    assert Names(ME, {ROOM: nasty}).room(ROOM).isprintable()


def test_an_action_without_notify_is_silence_however_loud() -> None:
    assert word_verdict(verdict_of([{"set_tweak": "sound", "value": "bell"}])) == "stay silent"


def test_a_rule_that_decides_nothing_has_a_reason() -> None:
    everything, mine = one("override", make_rule("all", conditions=[])), one("room", make_rule(ROOM))
    assert find_trouble(mine, None) is None
    assert find_trouble(mine, everything) == "never reached: override/all matches everything before it"
    assert find_trouble(one("override", make_rule(conditions=[{"kind": "x"}])), None) == "never matches"
    assert find_trouble(one("override", make_rule(conditions=[{"kind": "x"}], enabled=False)), None) is None
