"""Mutes a room for a time: the push rule that does so, and what takes back exactly that rule and nothing else.

The mute is on disk before its rule is made: killed in between, a room is mute for too short a time, never for ever.
"""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.core.push.changes import mute_room, room_mutes
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetEnabled
from heliograph.core.value_type import value_type


@value_type
class TimedMute:
    """A room that is mute until some time, by an override rule."""

    room_id: RoomId
    rule_id: str
    until_ms: int
    """Milliseconds since 1970."""
    was_there: bool = False
    """The rule was there before, switched off. So at the end it is switched off again, and not removed."""


def begin_mute(
    rules: Json, room_id: RoomId, until_ms: int | None, running: TimedMute | None
) -> tuple[list[RuleChange], TimedMute | None]:
    """What makes the room mute, and the mute that ends at `until_ms` (milliseconds since 1970; None: never).

    `running`: the mute for a time that the room has already, by us. A room that is mute otherwise stays so for ever:
    then no mute is returned.
    """
    changes = mute_room(rules, room_id)
    if until_ms is None:
        return changes, None
    match changes:
        case [Put(rule_id=rule_id)]:
            return changes, TimedMute(room_id, rule_id, until_ms)
        # The user's own rule, which was switched off: it has to be so again at the end.
        case [SetEnabled(rule_id=rule_id)]:
            return changes, TimedMute(room_id, rule_id, until_ms, was_there=True)
    return changes, None if running is None else replace(running, until_ms=until_ms)


def end_mute(rules: Json, mute: TimedMute) -> list[RuleChange]:
    """What takes the mute back. Nothing if the user, by whatever client, did so or made something else of the rule.
    Test: test_what_the_user_changed_meanwhile_is_left_alone."""
    for rule in room_mutes(rules, mute.room_id):
        if rule["rule_id"] == mute.rule_id and rule.get("enabled", True) is True:
            off = SetEnabled("override", mute.rule_id, enabled=False)
            return [off if mute.was_there else Delete("override", mute.rule_id)]
    return []
