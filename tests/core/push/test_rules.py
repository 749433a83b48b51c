"""Which rule decides: https://spec.matrix.org/v1.17/client-server-api/#push-rules-1."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from heliograph.core.push.context import Context
from heliograph.core.push.patterns import WORK
from heliograph.core.push.rule import KINDS
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import SILENT
from support.builders import ALICE, BOB, ME, ROOM, make_event
from support.rule_builders import judge, make_rule, match, with_body, with_content

_MATCHING: dict[str, dict[str, Any]] = {
    "override": make_rule(),
    "content": make_rule(pattern="hello"),
    "postcontent": make_rule(),
    "room": make_rule(ROOM),
    "sender": make_rule(ALICE),
    "underride": make_rule(),
}


def test_kinds_are_tried_in_the_order_of_the_specification() -> None:
    rules = {kind: [rule] for kind, rule in reversed(_MATCHING.items())}
    order = []
    while (rule := judge(rules, with_body("hello")).rule) is not None:
        kind = rule.partition("/")[0]
        order.append(kind)
        del rules[kind]

    assert tuple(order) == KINDS


@pytest.mark.parametrize("kind", ["override", "postcontent", "underride"])
def test_within_a_kind_the_first_that_matches_decides(kind: str) -> None:
    rules = [
        make_rule("other", conditions=[match("type", "m.room.topic")]),
        make_rule("silent", "dont_notify", conditions=[match("content.body", "hello")]),
        make_rule("loud"),
    ]

    assert judge({kind: rules}, with_body("hello")).rule == f"{kind}/silent"
    assert not judge({kind: rules}, with_body("hello")).notify
    assert judge({kind: rules}, with_body("bye")).rule == f"{kind}/loud"


def test_the_order_of_the_server_is_kept_even_for_its_own_rules() -> None:
    rules = [make_rule(".m.rule.zebra"), make_rule("mine"), make_rule(".m.rule.master")]

    assert judge({"override": rules}, with_body("x")).rule == "override/.m.rule.zebra"


def test_a_disabled_rule_never_matches() -> None:
    assert judge({"override": [make_rule(enabled=False)]}, with_body("x")) == SILENT


def test_where_no_rule_matches_nothing_rings() -> None:
    assert judge({}, with_body("x")) == SILENT


def test_a_rule_without_conditions_matches_everything() -> None:
    assert judge({"override": [make_rule(conditions=[])]}, {}).notify
    assert judge({"underride": [make_rule()]}, {"type": 1, "content": None}).notify


def test_all_conditions_must_hold() -> None:
    rules = {"override": [make_rule(conditions=[match("type", "m.room.message"), match("content.body", "hello")])]}

    assert judge(rules, with_body("hello")).notify
    assert not judge(rules, with_body("bye")).notify


@pytest.mark.parametrize(
    "condition",
    [
        {"kind": "unheard_of"},
        {"kind": "device", "profile_tag": "x"},
        {"kind": "com.beeper.msc3758.exact_event_match", "key": "type", "value": "m.room.message"},
        {"kind": "org.matrix.msc3966.exact_event_property_contains", "key": "content.x", "value": 1},
        {"kind": ""},
    ],
)
def test_an_unrecognised_condition_disables_its_rule(condition: dict[str, Any]) -> None:
    ruleset = Ruleset.parse({"override": [make_rule(conditions=[condition])], "underride": [make_rule("rest")]})

    assert ruleset.judge(with_body("x"), Context(ME)).rule == "underride/rest"
    assert ruleset.problems == ()


def test_own_events_never_ring() -> None:
    assert judge({"override": [make_rule()]}, with_body("x", sender=ME)) == SILENT


@pytest.mark.parametrize(
    ("rule_id", "result"), [(ROOM, True), (ROOM.upper(), False), ("!*", False), ("!other:x", False)]
)
def test_a_room_rule_is_about_the_room_of_that_very_id(rule_id: str, result: bool) -> None:
    assert judge({"room": [make_rule(rule_id)]}, with_body("x")).notify is result


@pytest.mark.parametrize(("rule_id", "result"), [(ALICE, True), (ALICE.upper(), False), ("@*", False), (BOB, False)])
def test_a_sender_rule_is_about_the_sender_of_that_very_id(rule_id: str, result: bool) -> None:
    assert judge({"sender": [make_rule(rule_id)]}, with_body("x", sender=ALICE)).notify is result


@pytest.mark.parametrize(("pattern", "result"), [("hello", True), ("hel", False), ("h?llo", True), ("", True)])
def test_a_content_rule_looks_for_words_in_the_body(pattern: str, result: bool) -> None:
    verdict = judge({"content": [make_rule(pattern=pattern)]}, with_body("why, Hello!"))

    assert verdict.notify is result
    assert not verdict.highlight


@pytest.mark.parametrize("type_", ["m.room.redaction", "m.room.topic", "org.example.new", "m.room.encrypted"])
def test_a_room_rule_catches_every_type_of_event(type_: str) -> None:
    assert judge({"room": [make_rule(ROOM)]}, make_event(type=type_).raw).notify


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("override", make_rule(".m.rule.contains_display_name", conditions=[{"kind": "contains_display_name"}])),
        ("override", make_rule(".m.rule.roomnotif", conditions=[match("content.body", "@room")])),
        ("content", make_rule(".m.rule.contains_user_name", pattern="me")),
    ],
)
@pytest.mark.parametrize("mentions", [{}, None, [], "foo", {"user_ids": []}])
def test_intentional_mentions_switch_the_legacy_rules_off(kind: str, rule: dict[str, Any], mentions: Any) -> None:
    event = with_body("me @room")
    assert judge({kind: [rule]}, event, display_name="me").notify

    event["content"]["m.mentions"] = mentions
    assert not judge({kind: [rule]}, event, display_name="me").notify
    assert judge({kind: [{**rule, "rule_id": "mine"}]}, event, display_name="me").notify


def test_a_legacy_rule_in_another_kind_is_any_rule() -> None:
    event = with_body("me")
    event["content"]["m.mentions"] = {}

    assert judge({"content": [make_rule(".m.rule.roomnotif", pattern="me")]}, event).notify


def test_many_made_up_types_are_judged_like_any() -> None:
    ruleset = Ruleset.parse({"override": [make_rule(conditions=[match("type", "org.example.*7")])]})
    types = [f"org.example.{number}" for number in range(300)] * 2

    rung = [type_ for type_ in types if ruleset.judge(make_event(type=type_).raw, Context(ME)).notify]

    assert rung == [type_ for type_ in types if type_.endswith("7")]


@pytest.mark.parametrize("type_", ["a" * 300, "a" * 70_000])
def test_a_type_of_unreasonable_length_is_judged_like_any(type_: str) -> None:
    rules = {"override": [make_rule(conditions=[match("type", "b*")])], "underride": [make_rule("rest")]}

    assert judge(rules, make_event(type=type_).raw).rule == "underride/rest"


def test_an_event_may_be_any_mapping() -> None:
    ruleset = Ruleset.parse({"room": [make_rule(ROOM)]})

    assert ruleset.judge(MappingProxyType(with_body("x")), Context(ME)).notify


def test_a_hostile_event_still_meets_the_rules_that_cost_nothing() -> None:
    keywords = [make_rule(f"k{number}", pattern=f"a*b{number}") for number in range(200)]
    rules = {"content": keywords, "underride": [make_rule("rest", conditions=[match("type", "m.room.message")])]}

    assert judge(rules, with_body("a " * 32_000 + "a bx")).rule == "underride/rest"


@pytest.mark.parametrize("kind", ["event_match", "event_property_is", "event_property_contains"])
@pytest.mark.parametrize(("rest", "rule"), [([make_rule("rest")], "underride/rest"), ([], None)])
def test_of_thousands_of_rules_no_more_are_tried_than_there_is_work(kind: str, rest: Any, rule: str | None) -> None:
    asked = {"kind": kind, "pattern": "a*b", "value": 1}
    rules = [make_rule(f"r{number}", conditions=[{**asked, "key": f"content.k{number}"}]) for number in range(9_000)]
    content = {"k0": "", **{f"k{number}": [2] * 9 for number in range(9_000)}, "k8999": "ab"}

    assert judge({"override": rules, "underride": rest}, with_content(content)).rule == rule


def test_the_last_of_ten_thousand_keywords_still_matches() -> None:
    keywords = [make_rule(f"k{number}", pattern=f"word{number}") for number in range(10_000)]

    assert judge({"content": keywords}, with_body("so a Word9999, then")).rule == "content/k9999"


def test_rules_behind_one_that_is_certain_of_its_type_decide_only_on_other_types() -> None:
    rules = [
        make_rule("messages", conditions=[match("type", "m.room.message")]),
        make_rule("all", conditions=[match("content.body", "*")]),
    ]

    assert judge({"override": rules}, with_body("x")).rule == "override/messages"
    assert judge({"override": rules}, with_body("x", type="m.sticker")).rule == "override/all"


def test_of_thousands_of_conditions_no_more_are_tried_than_there_is_work() -> None:
    member_count = {"kind": "room_member_count", "is": ">0"}
    some, many = [member_count] * 1_000, [member_count] * 20_000

    assert judge({"override": [make_rule(conditions=some)]}, with_body("x"), member_count=2).notify
    assert not judge({"override": [make_rule(conditions=many)]}, with_body("x"), member_count=2).notify


@pytest.mark.parametrize(
    "condition",
    [
        {"kind": "im.nheko.msc3664.related_event_match", "rel_type": "m.in_reply_to"},
        {"kind": "org.matrix.msc3914.call_started"},
        {"kind": "io.element.msc4306.thread_subscription", "subscribed": True},
    ],
)
def test_a_proposed_condition_is_not_looked_at_when_no_work_is_left(condition: dict[str, Any]) -> None:
    wasting = make_rule("wasting", conditions=[{"kind": "event_property_contains", "key": "content.x", "value": 1}])
    rules = [wasting, make_rule("asked", conditions=[condition])]
    content = {"m.intent": "m.ring", "m.relates_to": {"rel_type": "m.thread", "m.in_reply_to": {"event_id": "$x"}}}
    facts: dict[str, Any] = {"related": {"m.in_reply_to": with_body("x")}, "thread_subscribed": True}

    assert judge({"override": rules}, with_content(content), **facts).rule == "override/asked"
    assert not judge({"override": rules}, with_content({**content, "x": [0] * WORK}), **facts).notify


def test_the_first_event_of_a_type_gets_the_same_answer_as_the_next() -> None:
    types = [match("type", f"*0*b{number}*") for number in range(1_000)]
    rules = [make_rule(f"t{number}", conditions=[condition]) for number, condition in enumerate(types)]
    wasting = make_rule("wasting", conditions=[{"kind": "event_property_contains", "key": "content.x", "value": 1}])
    ruleset = Ruleset.parse({"override": [*rules, wasting, make_rule("rest", conditions=[match("content.y", "y*")])]})
    context = Context("@me:example.org")

    def answers(elements: int) -> set[str | None]:
        event = with_content({"x": [0] * elements, "y": "y"}, type=f"{elements:0250}")
        return {ruleset.judge(event, context).rule for _ in range(3)}

    assert answers(0) == {"override/rest"}
    assert all(len(answers(elements)) == 1 for elements in range(0, 140_000, 2_000))
    assert answers(140_000) == {None}


def test_a_type_that_leaves_no_work_for_thousands_of_patterns_matches_none() -> None:
    rules = [make_rule(f"t{number}", conditions=[match("type", f"*a*b{number}*")]) for number in range(9_000)]
    rules.append(make_rule("rest", conditions=[match("content.body", "x")]))

    assert judge({"override": rules}, with_body("x", type="m")).rule == "override/rest"
    assert judge({"override": rules}, with_body("x", type="a" * 250)).rule is None
