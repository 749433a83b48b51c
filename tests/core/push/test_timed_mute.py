"""Muting a room for a time takes back what it did, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.rule_change import Delete, Put, SetEnabled
from heliograph.core.push.timed_mute import TimedMute, begin_mute, end_mute
from support.builders import ROOM

RUNNING = TimedMute(ROOM, ROOM, 1000)


def rules(*override: dict[str, Any]) -> dict[str, Any]:
    return {"override": list(override)}


def mute_rule(rule_id: str = ROOM, **rule: Any) -> dict[str, Any]:
    condition = {"kind": "event_match", "key": "room_id", "pattern": ROOM}
    return {"rule_id": rule_id, "actions": [], "conditions": [condition], **rule}


def test_a_room_that_rings_gets_a_rule_which_goes_again() -> None:
    changes, mute = begin_mute(rules(), ROOM, 5000, None)
    assert [(type(change), change.rule_id) for change in changes] == [(Put, ROOM)]
    assert mute == TimedMute(ROOM, ROOM, 5000)
    assert end_mute(rules(mute_rule()), mute) == [Delete("override", ROOM)]


def test_a_rule_that_was_there_is_switched_on_and_off_again() -> None:
    changes, mute = begin_mute(rules(mute_rule("mine", enabled=False)), ROOM, 5000, None)
    assert changes == [SetEnabled("override", "mine", enabled=True)]
    assert mute == TimedMute(ROOM, "mine", 5000, was_there=True)
    assert end_mute(rules(mute_rule("mine")), mute) == [SetEnabled("override", "mine", enabled=False)]


def test_for_ever_is_never_taken_back() -> None:
    changes, mute = begin_mute(rules(), ROOM, None, None)
    assert len(changes) == 1
    assert mute is None


def test_a_room_that_the_user_muted_for_ever_stays_so() -> None:
    assert begin_mute(rules(mute_rule()), ROOM, 5000, None) == ([], None)


def test_a_room_that_is_mute_for_a_time_can_be_muted_for_another() -> None:
    assert begin_mute(rules(mute_rule()), ROOM, 5000, RUNNING) == ([], TimedMute(ROOM, ROOM, 5000))
    assert begin_mute(rules(mute_rule()), ROOM, None, RUNNING) == ([], None)


@pytest.mark.parametrize(
    "override",
    [
        [],
        [mute_rule(enabled=False)],
        [mute_rule("another")],
        [mute_rule(actions=["notify"])],
        [mute_rule(conditions=[])],
    ],
)
def test_what_the_user_changed_meanwhile_is_left_alone(override: list[dict[str, Any]]) -> None:
    assert end_mute(rules(*override), RUNNING) == []
