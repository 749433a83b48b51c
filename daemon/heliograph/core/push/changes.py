"""Finds the requests that make the push rules as the user wants them: none for what is so already.

Works on the `global` object as the homeserver gave it: rules are read before they are written, and only what differs is
asked for. What other clients made for the same room or word is found by what it does, not by its id, and changed in
place. Test: test_a_room_is_as_wished_whatever_was_there_and_a_second_time_changes_nothing.

A muted room is an override rule and a room with mentions only is a room rule, as in Element, which then shows them so.
A muted user is an override rule, too: Synapse passes `sender` rules over.
Tests: test_a_room_is_muted_as_other_clients_mute_it, test_a_muted_user_is_silent_everywhere_and_invites_are_too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from heliograph.core.events import Json
from heliograph.core.ids import RoomId
from heliograph.core.push.desired_rule import (
    DesiredRule,
    Refusal,
    check_neighbours,
    check_rule,
    checked_id,
    checked_word,
    free_id,
    names_exactly,
    unknown_rule,
)
from heliograph.core.push.listed_rules import (
    find_rule,
    is_about_word,
    is_enabled,
    is_predefined,
    is_silent,
    rules_of,
    user_rules,
)
from heliograph.core.push.patterns import is_glob
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetActions, SetEnabled
from heliograph.core.push.verdict import verdict_of

# Keywords


def add_keyword(rules: Json, word: str, actions: tuple[Any, ...]) -> list[RuleChange]:
    """Has the word ring, by the content rule that there is for it or by a new one. Raises Refusal."""
    word = checked_word(word)
    same = [rule for rule in user_rules(rules, "content") if is_about_word(rule, word)]
    if not same:
        rule_id = free_id(word, rules, "content")
        return [Put("content", rule_id, DesiredRule("content", rule_id, actions, pattern=word).body)]
    return _bring_in_force("content", same[0], actions)


def remove_keyword(rules: Json, word: str) -> list[RuleChange]:
    """Removes every rule of the user for this word. Raises Refusal if a predefined one has it ring."""
    word = checked_word(word)
    same = [rule for rule in rules_of(rules, "content") if is_about_word(rule, word)]
    own = [rule["rule_id"] for rule in same if not is_predefined(rule)]
    if not own and any(is_enabled(rule) for rule in same):
        name = f"content/{same[0]['rule_id']}"
        raise Refusal(
            f"{word!r} rings by the predefined rule {name}, which cannot be removed.",
            f"Switch it off instead: heliograph rules disable {name}",
        )
    return [Delete("content", rule_id) for rule_id in own]


# Rooms and users


def mute_room(rules: Json, room_id: RoomId) -> list[RuleChange]:
    """Silences the room, mentions included."""
    return _mute(rules, "room_id", room_id)


def room_mutes(rules: Json, room_id: RoomId) -> list[Json]:
    """The override rules that do nothing but silence this room, whichever client made them."""
    return list(_mutes(rules, "room_id", room_id))


def only_mentions(rules: Json, room_id: RoomId) -> list[RuleChange]:
    """Has of the room only ring what override and content rules let ring: mentions and keywords."""
    changes: list[RuleChange] = []
    rule = find_rule(rules, "room", room_id)
    if rule is None:
        changes.append(Put("room", checked_id(room_id), DesiredRule("room", room_id, ()).body))
    else:
        changes.extend(_bring_in_force("room", rule, ()))
    # The mute goes last: a request that fails in between leaves the room silent and never loud.
    return [*changes, *_unmute(rules, "room_id", room_id)]


def unmute_room(rules: Json, room_id: RoomId) -> list[RuleChange]:
    """Has the room ring as rooms do: undoes `mute_room` and `only_mentions`."""
    rule = find_rule(rules, "room", room_id)
    changes = _unmute(rules, "room_id", room_id)
    if rule is not None and is_silent(rule):
        changes.append(Delete("room", room_id))
    return changes


def mute_user(rules: Json, user_id: str) -> list[RuleChange]:
    """Silences all that the user sends: messages, mentions, invites."""
    return _mute(rules, "sender", user_id)


def unmute_user(rules: Json, user_id: str) -> list[RuleChange]:
    """Undoes `mute_user`, and silent `sender` rules of other clients."""
    rule = find_rule(rules, "sender", user_id)
    changes = _unmute(rules, "sender", user_id)
    if rule is not None and is_silent(rule):
        changes.append(Delete("sender", user_id))
    return changes


def _mute(rules: Json, key: str, value: str) -> list[RuleChange]:
    mutes = list(_mutes(rules, key, value))
    if any(is_enabled(rule) for rule in mutes):
        return []
    # A mute that was switched off is switched on again, so that the client which made it still finds it.
    if mutes:
        return [SetEnabled("override", mutes[0]["rule_id"], enabled=True)]
    desired = DesiredRule("override", free_id(value, rules, "override"), (), (names_exactly(key, value),))
    return [Put("override", desired.rule_id, desired.body)]


def _unmute(rules: Json, key: str, value: str) -> list[RuleChange]:
    return [Delete("override", rule["rule_id"]) for rule in _mutes(rules, key, value)]


def _mutes(rules: Json, key: str, value: str) -> Iterator[Json]:
    """Override rules that do nothing but silence this room or user, whichever client made them."""
    for rule in user_rules(rules, "override"):
        if not is_silent(rule):
            continue
        match rule.get("conditions"):
            case [{"kind": "event_match", "key": named, "pattern": str(other)}]:
                # Patterns match in any case; a property is compared as it stands.
                if named == key and other.lower() == value.lower() and not is_glob(other):
                    yield rule
            case [{"kind": "event_property_is", "key": named, "value": other}]:
                if (named, other) == (key, value):
                    yield rule


# Any rule


def set_enabled(rules: Json, kind: str, rule_id: str, *, enabled: bool) -> list[RuleChange]:
    """Switches the rule on or off. Raises Refusal if there is no such rule."""
    rule = find_rule(rules, kind, rule_id)
    if rule is None:
        raise unknown_rule(kind, rule_id)
    return [] if is_enabled(rule) is enabled else [SetEnabled(kind, rule_id, enabled)]


def remove_rule(rules: Json, kind: str, rule_id: str) -> list[RuleChange]:
    """Removes the rule, if there is such a one. Raises Refusal if it is predefined."""
    if rule_id.startswith("."):
        raise Refusal(
            f"{kind}/{rule_id} is predefined and cannot be removed.",
            f"Switch it off instead: heliograph rules disable {kind}/{rule_id}",
        )
    return [] if find_rule(rules, kind, rule_id) is None else [Delete(kind, rule_id)]


def add_rule(
    rules: Json, desired: DesiredRule, *, before: str | None = None, after: str | None = None
) -> list[RuleChange]:
    """Makes the rule, enabled and next to another one if that is named, or changes the one that there is. Raises
    Refusal."""
    check_rule(desired)
    check_neighbours(rules, desired, before, after)
    known = find_rule(rules, desired.kind, desired.rule_id)
    if known is None or not desired.asks_the_same(known) or not _is_placed(rules, desired, before, after):
        changes: list[RuleChange] = [Put(desired.kind, desired.rule_id, desired.body, before, after)]
        # PUT replaces a rule, but leaves it switched off if it was.
        return changes if known is None or is_enabled(known) else [*changes, _on(desired.kind, desired.rule_id)]
    return _bring_in_force(desired.kind, known, desired.actions)


def _bring_in_force(kind: str, rule: Json, actions: Sequence[Any]) -> list[RuleChange]:
    changes: list[RuleChange] = []
    if verdict_of(rule.get("actions")) != verdict_of(actions):
        changes.append(SetActions(kind, rule["rule_id"], tuple(actions)))
    return changes if is_enabled(rule) else [*changes, _on(kind, rule["rule_id"])]


def _on(kind: str, rule_id: str) -> RuleChange:
    return SetEnabled(kind, rule_id, enabled=True)


def _is_placed(rules: Json, desired: DesiredRule, before: str | None, after: str | None) -> bool:
    order = [rule["rule_id"] for rule in rules_of(rules, desired.kind)]
    place = order.index(desired.rule_id)
    # Slices, since the rule may be the first or the last and have no neighbour.
    is_before = before is None or order[place + 1 : place + 2] == [before]
    return is_before and (after is None or order[:place][-1:] == [after])
