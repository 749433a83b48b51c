"""Why a rule did or did not match."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.context import Context
from heliograph.core.push.flatten import MISSING
from heliograph.core.push.rules import Ruleset, TracedRule
from support.builders import ME
from support.rule_builders import make_rule, match, with_body, with_content

_CONTEXT = Context(
    ME,
    display_name="Ann",
    member_count=3,
    sender_power_level=10,
    room_version="11",
    thread_subscribed=False,
    related={"m.in_reply_to": with_body("lunch?")},
)


def _trace(rules: Any, event: Any, context: Context = _CONTEXT) -> list[TracedRule]:
    return list(Ruleset.parse(rules).trace(event, context))


def test_every_rule_is_told_up_to_the_one_that_decides() -> None:
    rules = [
        make_rule("disabled", enabled=False),
        make_rule("failed", conditions=[match("type", "m.room.message"), match("content.body", "dinner")]),
        make_rule("decides"),
        make_rule("behind"),
    ]

    disabled, failed, decides = _trace({"override": rules}, with_body("lunch"))

    assert (disabled.rule.rule_id, disabled.has_matched, disabled.failed) == ("disabled", False, None)
    assert (failed.rule.rule_id, failed.has_matched, failed.seen) == ("failed", False, "lunch")
    assert failed.failed is not None
    assert failed.failed.json == match("content.body", "dinner")
    assert (decides.rule.rule_id, decides.has_matched, decides.failed) == ("decides", True, None)


def test_own_events_are_not_tried() -> None:
    assert _trace({"override": [make_rule()]}, with_body("x", sender=ME)) == []


@pytest.mark.parametrize(
    ("condition", "seen"),
    [
        (match("content.body", "dinner"), "lunch"),
        (match("content.nothing", "dinner"), MISSING),
        ({"kind": "event_property_is", "key": "content.n", "value": 1}, 2),
        ({"kind": "event_property_contains", "key": "content.n", "value": 1}, 2),
        ({"kind": "contains_display_name"}, "lunch"),
        ({"kind": "room_member_count", "is": "2"}, 3),
        ({"kind": "sender_notification_permission", "key": "room"}, 10),
        ({"kind": "org.matrix.msc3931.room_version_supports", "feature": "x"}, "11"),
        ({"kind": "io.element.msc4306.thread_subscription", "subscribed": True}, False),
        (
            {
                "kind": "im.nheko.msc3664.related_event_match",
                "rel_type": "m.in_reply_to",
                "key": "content.body",
                "pattern": "x",
            },
            "lunch?",
        ),
        ({"kind": "im.nheko.msc3664.related_event_match", "rel_type": "m.thread"}, MISSING),
        ({"kind": "org.matrix.msc3914.call_started"}, {"body": "lunch", "n": 2}),
        ({"kind": "unheard of"}, MISSING),
    ],
)
def test_a_failed_condition_tells_what_it_saw(condition: Any, seen: Any) -> None:
    (step,) = _trace({"override": [make_rule(conditions=[condition])]}, with_content({"body": "lunch", "n": 2}))

    assert step.failed is not None
    assert (step.failed.kind, step.seen) == (condition["kind"], seen)


@pytest.mark.parametrize(
    "condition", [{"kind": "room_member_count", "is": "2"}, {"kind": "sender_notification_permission", "key": "room"}]
)
def test_an_unknown_fact_is_missing(condition: Any) -> None:
    (step,) = _trace({"override": [make_rule(conditions=[condition])]}, with_body("x"), Context(ME))

    assert step.seen is MISSING


def test_a_related_event_without_a_key_is_seen_by_its_relation() -> None:
    condition = {"kind": "im.nheko.msc3664.related_event_match", "rel_type": "m.in_reply_to"}
    (rule,) = Ruleset.parse({"override": [make_rule(conditions=[condition])]}).rules
    (step,) = _trace({"override": [make_rule(conditions=[condition])]}, with_body("x"))

    assert step.has_matched
    assert rule.conditions[0].kind == condition["kind"]


def test_a_legacy_rule_that_mentions_switch_off_says_so() -> None:
    rules = {"content": [make_rule(".m.rule.contains_user_name", pattern="me")]}

    (step,) = _trace(rules, with_content({"body": "me", "m.mentions": {"room": True}}))

    assert step.failed is not None
    assert (step.failed.kind, step.seen) == ("no m.mentions", {"room": True})
