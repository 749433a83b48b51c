"""`sender_notification_permission` and power levels.

https://spec.matrix.org/v1.17/client-server-api/#mroompower_levels
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from heliograph.core.push.patterns import WORK
from support.builders import ALICE, BOB
from support.rule_builders import holds, judge, make_rule, with_body


def _may_notify(power_levels: Any = None, key: str = "room", **context: Any) -> bool:
    condition = {"kind": "sender_notification_permission", "key": key}
    return holds(condition, with_body("x", sender=ALICE), power_levels=power_levels, **context)


@pytest.mark.parametrize(
    "power_levels",
    [
        {"users": {ALICE: 50}},
        {"users": {ALICE: 2**70}},
        {"users_default": 50},
        {"users": {BOB: 0}, "users_default": 50},
        {"users": {ALICE: 10}, "notifications": {"room": 10}},
        {"notifications": {"room": 0}},
        {"notifications": {"room": -1}, "users": {ALICE: -1}},
    ],
)
def test_a_sender_who_stands_high_enough_may_notify(power_levels: dict[str, Any]) -> None:
    assert _may_notify(power_levels)


@pytest.mark.parametrize(
    "power_levels",
    [
        {},
        {"users": {ALICE: 49}},
        {"users": {ALICE: 0}, "users_default": 100},
        {"users": {BOB: 100}},
        {"users": {ALICE: 50}, "notifications": {"room": 51}},
        {"users": {ALICE: 49}, "notifications": {"other": 0}},
    ],
)
def test_a_sender_who_does_not_may_not(power_levels: dict[str, Any]) -> None:
    assert not _may_notify(power_levels)


@pytest.mark.parametrize(("level", "result"), [(50, True), (49, False)])
def test_any_key_that_is_not_named_asks_for_50(level: int, result: bool) -> None:
    assert _may_notify({"users": {ALICE: level}, "notifications": {"room": 0}}, key="other") is result


@pytest.mark.parametrize(
    ("level", "result"), [("50", True), (" +50 ", True), ("49", False), (50.9, True), (49.9, False)]
)
def test_levels_may_be_written_as_old_room_versions_did(level: Any, result: bool) -> None:
    assert _may_notify({"users": {ALICE: level}}) is result
    assert _may_notify({"users": {ALICE: 50}, "notifications": {"room": level}}) is (level != 50.9 or result)


@pytest.mark.parametrize(
    "wrong", [None, True, "", "many", "5_0", "0x32", "٥٠", "9" * 5_000, math.inf, math.nan, [], {}]
)
def test_what_is_no_level_counts_as_the_default(wrong: Any) -> None:
    assert not _may_notify({"users": {ALICE: wrong}})
    assert not _may_notify({"users_default": wrong})
    assert _may_notify({"users": {ALICE: wrong}, "users_default": 50})
    assert _may_notify({"users": {ALICE: 50}, "notifications": {"room": wrong}})
    assert not _may_notify({"users": {ALICE: 49}, "notifications": {"room": wrong}})


@pytest.mark.parametrize("wrong", [None, [], "users", 1, True])
def test_what_is_no_object_names_nobody(wrong: Any) -> None:
    assert not _may_notify({"users": wrong, "notifications": wrong})


@pytest.mark.parametrize(("creators", "result"), [({ALICE}, True), ({BOB}, False)])
def test_without_a_power_levels_event_the_creator_has_100(creators: set[str], result: bool) -> None:
    assert _may_notify(None, creators=frozenset(creators), room_version="11") is result


@pytest.mark.parametrize("version", ["12", "13", "120", "org.matrix.hydra.11"])
def test_since_room_version_12_creators_stand_above_all(version: str) -> None:
    assert _may_notify({"notifications": {"room": 2**53}}, creators=frozenset({ALICE}), room_version=version)


@pytest.mark.parametrize("version", ["1", "11", None, "", "twelve", "١٢", "99999999999"])
def test_in_other_room_versions_a_creator_has_the_level_that_is_written(version: str | None) -> None:
    assert not _may_notify({"users": {ALICE: 49}}, creators=frozenset({ALICE}), room_version=version)


def test_where_nothing_is_known_of_levels_nobody_may_notify() -> None:
    assert not _may_notify(None)


@pytest.mark.parametrize(("level", "result"), [(50, True), (49, False)])
def test_a_level_that_is_given_is_not_computed(level: int, result: bool) -> None:
    assert _may_notify({"users": {ALICE: 100}}, sender_power_level=level) is result
    assert _may_notify(None, sender_power_level=level) is result


@pytest.mark.parametrize("sender", [None, 1, [], {}])
def test_a_sender_that_is_no_string_may_not_notify(sender: Any) -> None:
    condition = {"kind": "sender_notification_permission", "key": "room"}

    assert not holds(condition, {**with_body("x"), "sender": sender}, power_levels={"users_default": 100})


@pytest.mark.parametrize("key", [None, 1, ["room"]])
def test_without_a_key_nobody_may_notify(key: Any) -> None:
    assert not _may_notify({"users_default": 100}, key=key)


def test_levels_are_not_compared_when_no_work_is_left() -> None:
    wasteful = {"kind": "event_property_contains", "key": "content.x", "value": 1}
    allowed = {"kind": "sender_notification_permission", "key": "room"}
    rules = [make_rule("wasteful", conditions=[wasteful]), make_rule(conditions=[allowed])]
    event = with_body("x")
    event["content"]["x"] = [0] * WORK

    assert not judge({"override": rules}, event, sender_power_level=100).notify
