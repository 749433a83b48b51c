"""Where Synapse answers otherwise, on purpose: each row of docs/push-rules.md that its evaluator can show."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.context import Context
from heliograph.core.push.rules import Ruleset
from support import synapse_evaluator as synapse
from support.builders import ALICE, ME, ROOM
from support.rule_builders import make_rule, match, with_content

_MINE = "override/mine"
_NAME = {"kind": "contains_display_name"}
_TOPIC = "content.topic"
_CALL = {"kind": "org.matrix.msc3914.call_started"}


def _both(kind: str, rule: dict[str, Any], content: dict[str, Any], **context: Any) -> tuple[str | None, str | None]:
    rules: dict[str, list[dict[str, Any]]] = {kind: [rule]}
    event = with_content(content, type="org.example.any")
    facts = Context(**{"user_id": ME, "member_count": 3, "power_levels": {}, **context})
    return Ruleset.parse(rules).judge(event, facts).rule, synapse.rule_of(rules, event, facts)


@pytest.mark.parametrize(
    ("condition", "content", "context"),
    [
        pytest.param(match("content.body", "foo"), {"body": "éfoo"}, {}, id="words end at letters that are not ASCII"),
        pytest.param(match("content.body", "a*b"), {"body": "a\nb"}, {}, id="a star matches newlines in a body"),
        pytest.param(match(_TOPIC, "*"), {"topic": "a\n"}, {}, id="a star matches newlines in a value"),
        pytest.param(match(r"content.m\x", "a"), {r"m\x": "a"}, {}, id="a needless backslash stands for itself"),
        pytest.param(match(_TOPIC, "İ*"), {"topic": "İ"}, {}, id="a glob matches itself in any case"),
        pytest.param(_CALL, {"m.intent": "m.ring"}, {}, id="calls that start"),
    ],
)
def test_we_match_and_synapse_does_not(condition: Any, content: dict[str, Any], context: dict[str, Any]) -> None:
    assert _both("override", make_rule(conditions=[condition]), content, **context) == (_MINE, None)


@pytest.mark.parametrize(
    ("condition", "content", "context"),
    [
        pytest.param(_NAME, {"body": "bob"}, {"display_name": "b*b"}, id="a display name has no wildcards"),
        pytest.param(
            {"kind": "event_property_is", "key": "content.x", "value": 2**53},
            {"x": 2**53},
            {},
            id="integers have 53 bits",
        ),
        pytest.param(
            {"kind": "io.element.msc4306.thread_subscription", "subscribed": True},
            {},
            {"thread_subscribed": True},
            id="an event outside threads has no subscription",
        ),
        pytest.param(
            {"kind": "sender_notification_permission", "key": "room"},
            {},
            {"power_levels": {"users_default": 1, "notifications": {"room": True}}},
            id="true is no power level",
        ),
        pytest.param(match("content.body", "a" * 1_100 + "*"), {"body": "a" * 1_100}, {}, id="patterns have a limit"),
    ],
)
def test_synapse_matches_and_we_do_not(condition: Any, content: dict[str, Any], context: dict[str, Any]) -> None:
    assert _both("override", make_rule(conditions=[condition]), content, **context) == (None, _MINE)


@pytest.mark.parametrize(("kind", "rule_id"), [("room", ROOM), ("sender", ALICE)])
@pytest.mark.parametrize("spelling", [str.upper, lambda text: text[0] + "*"], ids=["case", "wildcard"])
def test_rooms_and_senders_are_named_exactly(kind: str, rule_id: str, spelling: Any) -> None:
    rule = make_rule(spelling(rule_id))

    assert _both(kind, rule, {}) == (None, f"{kind}/{rule['rule_id']}")
