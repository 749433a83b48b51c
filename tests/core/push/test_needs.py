"""The event types that a ruleset asks of /sync."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import MAX_EXTRA_TYPES, Ruleset
from support.builders import ALICE, ME, ROOM
from support.rule_builders import make_rule, match

_BASE = frozenset({"m.room.message", "m.room.encrypted"})
_BODY = match("content.body", "lunch")


def _types(rules: Any) -> set[str] | None:
    types = Ruleset.parse(rules).event_types(_BASE)
    return None if types is None else set(types - _BASE)


def test_the_predefined_rules_name_their_types() -> None:
    assert Ruleset.predefined(ME).event_types(_BASE) == _BASE | {"m.room.member", "m.room.tombstone", "m.call.invite"}


@pytest.mark.parametrize(
    ("condition", "types"),
    [
        (match("type", "org.example.poll"), {"org.example.poll"}),
        (match("type", "Org.Example.Poll"), {"Org.Example.Poll", "org.example.poll"}),
        ({"kind": "event_property_is", "key": "type", "value": "org.example.poll"}, {"org.example.poll"}),
        (match("type", "m.room.message"), set()),
    ],
)
@pytest.mark.parametrize("kind", ["override", "underride"])
@pytest.mark.parametrize("rule_id", ["mine", ".org.example.rule"])
def test_a_type_that_a_rule_names_is_asked_for(kind: str, rule_id: str, condition: Any, types: set[str]) -> None:
    assert _types({kind: [make_rule(rule_id, conditions=[_BODY, condition])]}) == types


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("room", make_rule(ROOM)),
        ("sender", make_rule(ALICE)),
        ("override", make_rule()),
        ("underride", make_rule()),
        ("override", make_rule(conditions=[match("room_id", ROOM)])),
        ("override", make_rule(conditions=[match("type", "m.poll.*")])),
        ("override", make_rule(conditions=[{"kind": "event_property_is", "key": "type", "value": 1}])),
        ("underride", make_rule(conditions=[{"kind": "room_member_count", "is": "2"}])),
    ],
)
def test_an_own_rule_that_could_match_any_type_asks_for_all(kind: str, rule: Any) -> None:
    assert _types({kind: [rule]}) is None
    assert _types({kind: [{**rule, "enabled": False}]}) == set()
    assert _types({kind: [{**rule, "actions": []}]}) == set()


@pytest.mark.parametrize(
    "condition",
    [
        _BODY,
        match("content.msgtype", "m.text"),
        {"kind": "event_property_is", "key": "content.msgtype", "value": "m.text"},
        {"kind": "contains_display_name"},
    ],
)
def test_a_rule_about_messages_asks_for_no_more(condition: Any) -> None:
    assert _types({"override": [make_rule(conditions=[condition])]}) == set()


def test_keywords_ask_for_no_more() -> None:
    assert _types({"content": [make_rule(pattern="lunch")]}) == set()


def test_a_rule_that_can_never_match_asks_for_nothing() -> None:
    rule = make_rule(conditions=[match("type", "org.example.poll"), {"kind": "unheard of"}])

    assert _types({"override": [rule]}) == set()


def test_rules_behind_one_that_matches_everything_ask_for_nothing() -> None:
    rules = predefined_rules(ME)
    rules["override"][0]["enabled"] = True

    ruleset = Ruleset.parse({**rules, "room": [make_rule(ROOM)]})

    assert ruleset.event_types(_BASE) == _BASE


@pytest.mark.parametrize(("number", "is_all"), [(MAX_EXTRA_TYPES, False), (MAX_EXTRA_TYPES + 1, True)])
def test_more_types_than_a_filter_can_carry_are_all_types(number: int, is_all: bool) -> None:
    rules = [make_rule(f"r{n}", conditions=[match("type", f"org.example.{n}")]) for n in range(number)]

    assert (_types({"override": rules}) is None) is is_all
