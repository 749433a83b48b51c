"""The predefined rules, event by event."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.context import Context
from heliograph.core.push.predefined import SPEC_LINKS, predefined_rules
from heliograph.core.push.rules import Ruleset
from support.builders import ALICE, BOB, ME, make_edit, make_event
from support.rule_builders import with_content

_PREDEFINED = Ruleset.predefined(ME)
_GROUP = Context(ME, display_name="Me", member_count=5, power_levels={"users": {ALICE: 50}})
_MENTION = {"m.mentions": {"user_ids": [BOB, ME]}}
_ROOM_MENTION = {"m.mentions": {"room": True}}
_TEXT = {"msgtype": "m.text", "body": "me @room"}


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (make_event(), "underride/.m.rule.message"),
        (make_event(content={**_TEXT, "m.mentions": {}}), "underride/.m.rule.message"),
        (make_event(type="m.room.encrypted"), "underride/.m.rule.encrypted"),
        (make_event(type="m.call.invite"), "underride/.m.rule.call"),
        (make_event(type="m.room.topic", state_key=""), None),
        (make_event(type="org.example.unheard.of"), None),
        (make_event(content={"msgtype": "m.notice", "body": "x"}), "override/.m.rule.suppress_notices"),
        (make_event(content={"msgtype": "m.notice", **_MENTION}), "override/.m.rule.suppress_notices"),
        (make_event(content={**_TEXT, **_MENTION}), "override/.m.rule.is_user_mention"),
        (make_event(content={**_TEXT, "m.mentions": {"user_ids": ME}}), "underride/.m.rule.message"),
        (make_event(content={**_TEXT, "m.mentions": {"user_ids": [ME.upper()]}}), "underride/.m.rule.message"),
        (make_event(content={**_TEXT, **_ROOM_MENTION}), "override/.m.rule.is_room_mention"),
        (make_event(content={**_TEXT, **_ROOM_MENTION}, sender=BOB), "underride/.m.rule.message"),
        (make_event(content={**_TEXT, "m.mentions": {"room": 1}}), "underride/.m.rule.message"),
        (make_event(type="m.reaction"), "override/.m.rule.reaction"),
        (make_event(type="m.reaction", content=_MENTION), "override/.m.rule.is_user_mention"),
        (make_edit("$mine"), "override/.m.rule.suppress_edits"),
        (make_event(content={**make_edit("$mine").content, **_MENTION}), "override/.m.rule.is_user_mention"),
        (make_event(type="m.room.tombstone", state_key=""), "override/.m.rule.tombstone"),
        (make_event(type="m.room.tombstone", state_key="x"), None),
        (make_event(type="m.room.tombstone"), None),
        (make_event(type="m.room.server_acl", state_key=""), "override/.m.rule.room.server_acl"),
        (make_event(type="m.room.server_acl"), None),
        (make_event(type="m.room.member", content={"membership": "join"}), "override/.m.rule.member_event"),
        (make_event(type="m.room.member", content={"membership": "join", **_MENTION}), "override/.m.rule.member_event"),
        (
            make_event(type="m.room.member", content={"membership": "invite"}, state_key=BOB),
            "override/.m.rule.member_event",
        ),
        (
            make_event(type="m.room.member", content={"membership": "invite"}, state_key=ME),
            "override/.m.rule.invite_for_me",
        ),
    ],
)
def test_an_event_in_a_group_meets_its_rule(event: Any, rule: str | None) -> None:
    assert _PREDEFINED.judge(event.raw, _GROUP).rule == rule


@pytest.mark.parametrize(
    ("type_", "rule"),
    [
        ("m.room.message", "underride/.m.rule.room_one_to_one"),
        ("m.room.encrypted", "underride/.m.rule.encrypted_room_one_to_one"),
    ],
)
def test_messages_between_two_have_a_sound(type_: str, rule: str) -> None:
    verdict = _PREDEFINED.judge(make_event(type=type_).raw, Context(ME, member_count=2))

    assert (verdict.rule, verdict.notify, verdict.sound, verdict.highlight) == (rule, True, "default", False)


def test_an_invite_rings_though_nothing_is_known_of_its_room() -> None:
    stripped = {"type": "m.room.member", "sender": ALICE, "state_key": ME, "content": {"membership": "invite"}}

    verdict = _PREDEFINED.judge({**stripped, "room_id": "!new:example.org"}, Context(ME))

    assert (verdict.rule, verdict.notify, verdict.sound) == ("override/.m.rule.invite_for_me", True, "default")


@pytest.mark.parametrize(
    ("event", "highlight", "sound"),
    [
        (with_content({**_TEXT, **_MENTION}), True, "default"),
        (with_content({**_TEXT, **_ROOM_MENTION}), True, None),
        (make_event(type="m.room.tombstone", state_key="").raw, True, None),
        (make_event(type="m.call.invite").raw, False, "ring"),
        (make_event().raw, False, None),
    ],
)
def test_rules_ring_as_loudly_as_the_specification_says(event: Any, highlight: bool, sound: str | None) -> None:
    verdict = _PREDEFINED.judge(event, _GROUP)

    assert (verdict.notify, verdict.highlight, verdict.sound) == (True, highlight, sound)


def test_the_master_rule_silences_everything_when_it_is_enabled() -> None:
    rules = predefined_rules(ME)
    rules["override"][0]["enabled"] = True

    verdict = Ruleset.parse(rules).judge(make_event(content={**_TEXT, **_MENTION}).raw, _GROUP)

    assert (verdict.rule, verdict.notify) == ("override/.m.rule.master", False)


def test_each_is_read_without_a_problem_and_has_its_place_in_the_specification() -> None:
    assert _PREDEFINED.problems == ()
    assert [f"{rule.kind}/{rule.rule_id}" for rule in _PREDEFINED.rules] == list(SPEC_LINKS)
    assert all(rule.is_predefined for rule in _PREDEFINED.rules)
