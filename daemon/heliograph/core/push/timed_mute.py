"""Muting a room for a time: the push rule that does it, and what takes back exactly that and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.core.push.changes import Delete, Put, RuleChange, SetEnabled, mute_room, room_mutes


@dataclass(frozen=True, slots=True)
class TimedMute:
    """A room is mute until then, by this override rule."""

    room_id: RoomId
    rule_id: str
    until_ms: int
    """Milliseconds since 1970."""
    was_there: bool = False
    """The rule was there before, switched off."""


def begin_mute(
    rules: Json, room_id: RoomId, until_ms: int | None, running: TimedMute | None
) -> tuple[list[RuleChange], TimedMute | None]:
    """What makes the room mute, and what is to be taken back at that time (None: nothing, it is mute for ever).

    A room that is mute already, other than for a time by us (`running`), stays so for ever.
    """
    changes = mute_room(rules, room_id)
    if until_ms is None:
        return changes, None
    match changes:
        case [Put(rule_id=rule_id)]:
            return changes, TimedMute(room_id, rule_id, until_ms)
        case [SetEnabled(rule_id=rule_id)]:
            return changes, TimedMute(room_id, rule_id, until_ms, was_there=True)
    return changes, None if running is None else replace(running, until_ms=until_ms)


def end_mute(rules: Json, mute: TimedMute) -> list[RuleChange]:
    """What takes it back. Nothing if the user, by whatever client, did so or made something else of the rule."""
    for rule in room_mutes(rules, mute.room_id):
        if rule["rule_id"] == mute.rule_id and rule.get("enabled", True) is True:
            off = SetEnabled("override", mute.rule_id, enabled=False)
            return [off if mute.was_there else Delete("override", mute.rule_id)]
    return []
