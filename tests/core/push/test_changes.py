"""What has to be asked of the homeserver for each wish: judged by what rings once it is done."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from heliograph.core.ids import RoomId
from heliograph.core.push import changes
from heliograph.core.push.context import Context
from heliograph.core.push.desired_rule import DesiredRule, Refusal, actions_of
from heliograph.core.push.patterns import MAX_PATTERN
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetActions, SetEnabled
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import Verdict
from support.builders import ALICE, BOB, ME, ROOM, make_event
from support.rule_builders import make_rule, match

OTHER_ROOM = RoomId("!other:example.org")
MENTION = {"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [ME]}}
RING = ("notify",)


def with_rules(**kinds: list[Any]) -> dict[str, Any]:
    """The predefined rules, and the user's own where the specification puts them."""
    rules: dict[str, list[Any]] = predefined_rules(ME)
    master, *rest = rules["override"]
    return {**rules, **kinds, "override": [master, *kinds.get("override", []), *rest]}


def after(rules: Mapping[str, Any], made: Sequence[RuleChange]) -> dict[str, Any]:
    """The rules once a homeserver has done this."""
    done = copy.deepcopy(dict(rules))
    for change in made:
        listed = done.setdefault(change.kind, [])
        [*known] = [rule for rule in listed if rule["rule_id"] == change.rule_id]
        match change:
            case Put(body=body, before=before, after=behind):
                enabled = known[0]["enabled"] if known else True
                listed[:] = [rule for rule in listed if rule not in known]
                ids = [rule["rule_id"] for rule in listed]
                place = (
                    ids.index(before)
                    if before
                    else ids.index(behind) + 1
                    if behind
                    else int(ids[:1] == [".m.rule.master"])
                )
                listed.insert(place, {"rule_id": change.rule_id, "enabled": enabled, **body})
            case SetEnabled(enabled=enabled):
                known[0]["enabled"] = enabled
            case SetActions(actions=actions):
                known[0]["actions"] = list(actions)
            case Delete():
                listed.remove(known[0])
    return done


def judge(rules: Mapping[str, Any], body: str = "hello", **event: Any) -> Verdict:
    return Ruleset.parse(rules).judge(make_event(body, **event).raw, Context(ME, member_count=5, power_levels={}))


def rings(rules: Mapping[str, Any], body: str = "hello", **event: Any) -> bool:
    return judge(rules, body, **event).notify


def own(rules: Mapping[str, Any]) -> list[str]:
    return [f"{kind}/{r['rule_id']}" for kind, listed in rules.items() for r in listed if r["rule_id"][0] != "."]


ROOM_WISHES: list[Callable[[Any, RoomId], list[RuleChange]]] = [
    changes.mute_room,
    changes.only_mentions,
    changes.unmute_room,
]
MUTE = make_rule(ROOM, conditions=[match("room_id", ROOM)]) | {"actions": []}
MENTIONS_ONLY = make_rule(ROOM) | {"actions": []}
STATES: list[dict[str, Any]] = [
    {},
    {"override": [MUTE]},
    {"override": [MUTE | {"enabled": False}]},
    {"override": [MUTE | {"rule_id": "from another client", "actions": ["dont_notify"]}, MUTE]},
    {"override": [MUTE | {"conditions": [{"kind": "event_property_is", "key": "room_id", "value": ROOM}]}]},
    {"override": [make_rule(ROOM, conditions=[match("room_id", OTHER_ROOM)])]},
    {"room": [MENTIONS_ONLY]},
    {"room": [MENTIONS_ONLY | {"enabled": False}]},
    {"room": [MENTIONS_ONLY], "override": [MUTE]},
    {"room": [make_rule(ROOM, "notify", {"set_tweak": "sound", "value": "bell"})]},
    {"override": [7, {"rule_id": 7}, {"rule_id": "x", "conditions": 7}, MUTE | {"rule_id": "y", "conditions": [7]}]},
    {"room": 7, "override": [None]},
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("desired", ROOM_WISHES)
def test_a_room_is_as_wished_whatever_was_there_and_a_second_time_changes_nothing(
    desired: Callable[[Any, str], list[RuleChange]], state: dict[str, Any]
) -> None:
    rules = with_rules(**state)
    made = desired(rules, ROOM)
    readable = {
        kind: [rule for rule in listed if isinstance(rule, dict) and isinstance(rule.get("rule_id"), str)]
        for kind, listed in rules.items()
        if isinstance(listed, list)
    }
    rules = after(readable, made)

    assert rings(rules) is (desired is changes.unmute_room)
    assert rings(rules, content=MENTION) is (desired is not changes.mute_room)
    assert rings(rules, room_id=OTHER_ROOM)
    assert desired(rules, ROOM) == []


def test_a_room_is_muted_as_other_clients_mute_it() -> None:
    condition = {"kind": "event_match", "key": "room_id", "pattern": ROOM}
    [mute] = changes.mute_room(predefined_rules(ME), ROOM)
    assert mute == Put("override", ROOM, {"actions": [], "conditions": [condition]})
    assert changes.only_mentions(predefined_rules(ME), ROOM) == [Put("room", ROOM, {"actions": []})]


def test_unmuting_takes_only_what_mutes() -> None:
    loud = make_rule(ROOM, "notify", {"set_tweak": "sound", "value": "bell"})
    others = [
        make_rule("more", conditions=[match("room_id", ROOM), match("type", "x")]) | {"actions": []},
        make_rule("loud", conditions=[match("room_id", ROOM)]),
        make_rule("glob", conditions=[match("room_id", "!room*")]) | {"actions": []},
        make_rule("else", conditions=[match("sender", ROOM)]) | {"actions": []},
        make_rule("type", conditions=[{"kind": "event_property_is", "key": "type", "value": ROOM}]) | {"actions": []},
    ]
    assert changes.unmute_room(with_rules(override=others, room=[loud]), ROOM) == []
    [only] = changes.unmute_room(with_rules(override=[*others, MUTE], room=[loud]), ROOM)
    assert only == Delete("override", ROOM)


def test_a_muted_room_that_was_loud_is_loud_again() -> None:
    rules = with_rules(room=[make_rule(ROOM, "notify", {"set_tweak": "sound", "value": "bell"})])
    rules = after(rules, changes.mute_room(rules, ROOM))
    assert not rings(rules)
    assert judge(after(rules, changes.unmute_room(rules, ROOM))).sound == "bell"


def test_an_id_with_wildcards_in_it_mutes_nobody_else() -> None:
    odd = "@a*:example.org"
    rules = after(with_rules(), changes.mute_user(with_rules(), odd))
    assert not rings(rules, sender=odd)
    assert rings(rules, sender=ALICE)
    assert own(after(rules, changes.unmute_user(rules, odd))) == []


def test_a_muted_user_is_silent_everywhere_and_invites_are_too() -> None:
    rules = after(with_rules(), changes.mute_user(with_rules(), ALICE))
    invite: dict[str, Any] = {"type": "m.room.member", "state_key": ME, "content": {"membership": "invite"}}
    assert not rings(rules, content=MENTION)
    assert not rings(rules, **invite)
    assert rings(rules, sender=BOB)
    assert rings(rules, sender=BOB, **invite)
    assert changes.mute_user(rules, ALICE) == []

    rules = after(rules, changes.unmute_user(rules, ALICE))
    assert own(rules) == []
    assert changes.unmute_user(rules, ALICE) == []


def test_sender_rules_of_other_clients_are_undone_if_they_are_silent() -> None:
    silent, loud = make_rule(ALICE) | {"actions": []}, make_rule(BOB)
    rules = with_rules(sender=[silent, loud])
    assert changes.unmute_user(rules, ALICE) == [Delete("sender", ALICE)]
    assert changes.unmute_user(rules, BOB) == []


# Keywords


@pytest.mark.parametrize("known", [[], [make_rule("mine", pattern="LUNCH")], [make_rule("lunch", pattern="x")]])
def test_a_keyword_rings_as_wished_in_any_case_and_a_second_time_changes_nothing(known: list[Any]) -> None:
    actions = actions_of(sound="bell", highlight=True)
    rules = with_rules(content=[rule | {"enabled": False} for rule in known], room=[MENTIONS_ONLY])
    rules = after(rules, changes.add_keyword(rules, " lunch ", actions))

    verdict = judge(rules, "Lunch?")
    assert (verdict.notify, verdict.sound, verdict.highlight) == (True, "bell", True)
    assert not rings(rules)
    assert changes.add_keyword(rules, "Lunch", actions) == []
    assert changes.add_keyword(rules, "lunch", RING) == [SetActions("content", rules["content"][0]["rule_id"], RING)]

    rules = after(rules, changes.remove_keyword(rules, "LUNCH"))
    assert not rings(rules, "lunch")
    assert changes.remove_keyword(rules, "lunch") == []


def test_words_that_cannot_be_ids_get_others() -> None:
    rules = with_rules(content=[make_rule("a_b", pattern="x"), make_rule("a_b-2", pattern="y")])
    for word, rule_id in [("a/b", "a_b-3"), (".net", "_net"), ("c:\\", "c:_"), ("w" * 1_000, "w" * 250)]:
        [put] = changes.add_keyword(rules, word, RING)
        assert isinstance(put, Put)
        assert (put.rule_id, put.body["pattern"]) == (rule_id, word)


@pytest.mark.parametrize("word", ["", "  ", "two\nlines", "\x1b", "\ud800", "w" * (MAX_PATTERN + 1)])
def test_what_is_no_word_is_refused(word: str) -> None:
    with pytest.raises(Refusal, match="A keyword is a word"):
        changes.add_keyword(with_rules(), word, RING)


def test_a_predefined_keyword_is_switched_off_not_removed() -> None:
    predefined = make_rule(".m.rule.contains_user_name", pattern="me")
    with pytest.raises(Refusal, match="predefined") as refused:
        changes.remove_keyword(with_rules(content=[predefined]), "Me")
    assert refused.value.hint.endswith("heliograph rules disable content/.m.rule.contains_user_name")
    assert changes.remove_keyword(with_rules(content=[predefined | {"enabled": False}]), "me") == []
    both = with_rules(content=[make_rule("me", pattern="me"), predefined])
    assert changes.remove_keyword(both, "me") == [Delete("content", "me")]
    assert isinstance(changes.add_keyword(with_rules(content=[predefined]), "me", RING)[0], Put)


# Any rule


@pytest.mark.parametrize("enabled", [True, False])
def test_a_rule_is_switched_once(enabled: bool) -> None:
    rules = with_rules(override=[make_rule(enabled=not enabled, conditions=[])])
    made = changes.set_enabled(rules, "override", "mine", enabled=enabled)
    assert made == [SetEnabled("override", "mine", enabled)]
    assert changes.set_enabled(after(rules, made), "override", "mine", enabled=enabled) == []


def test_a_rule_that_is_not_there_cannot_be_switched_and_need_not_be_removed() -> None:
    with pytest.raises(Refusal, match="There is no rule override/mine"):
        changes.set_enabled(with_rules(), "override", "mine", enabled=True)
    assert changes.remove_rule(with_rules(), "override", "mine") == []


def test_own_rules_are_removed_even_unreadable_ones_and_predefined_ones_are_not() -> None:
    rules = with_rules(override=[{"rule_id": "broken"}])
    assert changes.remove_rule(rules, "override", "broken") == [Delete("override", "broken")]
    with pytest.raises(Refusal, match="predefined"):
        changes.remove_rule(rules, "override", ".m.rule.master")


WISHES = [
    DesiredRule("override", "new", (), (match("content.body", "hush"),)),
    DesiredRule(
        "underride", "new", ("notify", {"set_tweak": "sound", "value": "bell"}), (match("type", "m.room.topic"),)
    ),
    DesiredRule("content", "new", actions_of(highlight=True), pattern="w*rd"),
    DesiredRule("room", ROOM, ()),
    DesiredRule("sender", ALICE, ()),
]


@pytest.mark.parametrize("desired", WISHES, ids=lambda desired: desired.kind)
def test_a_rule_of_any_kind_is_made_on_top_and_a_second_time_changes_nothing(desired: DesiredRule) -> None:
    rules = after(with_rules(), changes.add_rule(with_rules(), desired))
    [rule] = [rule for rule in Ruleset.parse(rules).rules if not rule.is_predefined]
    assert (rule.kind, rule.rule_id, rule.can_match) == (desired.kind, desired.rule_id, True)
    assert rule.verdict.actions == desired.actions
    assert changes.add_rule(rules, desired) == []

    name = (desired.kind, desired.rule_id)
    off = after(rules, [SetEnabled(*name, enabled=False)])
    assert changes.add_rule(off, desired) == [SetEnabled(*name, enabled=True)]
    other = after(rules, [SetActions(*name, ("notify", {"set_tweak": "sound", "value": "else"}))])
    assert changes.add_rule(other, desired) == [SetActions(*name, desired.actions)]


def test_a_rule_that_asks_something_else_is_replaced_and_switched_on() -> None:
    rules = with_rules(override=[make_rule("new", conditions=[], enabled=False)])
    made = changes.add_rule(rules, WISHES[0])
    assert [type(change) for change in made] == [Put, SetEnabled]
    assert changes.add_rule(after(rules, made), WISHES[0]) == []
    content = with_rules(content=[make_rule("new", pattern="else")])
    assert changes.add_rule(content, WISHES[2]) == [Put("content", "new", WISHES[2].body)]


def test_a_rule_stands_where_it_is_wanted() -> None:
    rules = with_rules(override=[make_rule(name, conditions=[]) for name in "abc"])
    for where, order in [
        ({"before": "a"}, ["new", "a", "b", "c"]),
        ({"before": "c"}, ["a", "b", "new", "c"]),
        ({"after": "a"}, ["a", "new", "b", "c"]),
        ({"after": "c"}, ["a", "b", "c", "new"]),
        ({}, ["a", "b", "c", "new"]),
    ]:
        made = changes.add_rule(rules, WISHES[0], **where)
        rules = after(rules, made)
        assert own(rules) == [f"override/{name}" for name in order]
        assert changes.add_rule(rules, WISHES[0], **where) == []


@pytest.mark.parametrize(
    ("desired", "where", "why"),
    [
        (DesiredRule("postcontent", "new", RING), {}, "homeserver alone makes postcontent rules"),
        (DesiredRule("override", ".new", RING), {}, "a dot in front"),
        (DesiredRule("override", "a/b", RING), {}, "cannot be the id"),
        (DesiredRule("override", "a\\b", RING), {}, "cannot be the id"),
        (DesiredRule("override", " ", RING), {}, "cannot be the id"),
        (DesiredRule("override", "a\0", RING), {}, "cannot be the id"),
        (DesiredRule("override", "a" * 256, RING), {}, "cannot be the id"),
        (DesiredRule("content", "new", RING), {}, "A content rule has a pattern"),
        (DesiredRule("override", "new", RING, pattern="x"), {}, "A content rule has a pattern"),
        (
            DesiredRule("content", "new", RING, (match("type", "x"),), pattern="x"),
            {},
            "A content rule has no conditions",
        ),
        (DesiredRule("room", "!x", RING, (match("type", "x"),)), {}, "A room rule has no conditions"),
        (DesiredRule("override", "new", RING), {"before": "a", "after": "a"}, "not both"),
        (DesiredRule("override", "new", RING), {"before": "new"}, "next to itself"),
        (DesiredRule("override", "new", RING), {"after": ".m.rule.master"}, "is predefined"),
        (DesiredRule("override", "new", RING), {"before": "nothing"}, "There is no rule override/nothing"),
    ],
)
def test_what_no_homeserver_takes_is_refused_beforehand(desired: DesiredRule, where: dict[str, str], why: str) -> None:
    with pytest.raises(Refusal, match=why) as refused:
        changes.add_rule(with_rules(override=[make_rule("a", conditions=[])]), desired, **where)
    assert refused.value.hint
