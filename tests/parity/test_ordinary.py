"""The same rule matches here as in Synapse, on ordinary rules and events.

Left out of what is generated are the differences that docs/push-rules.md lists: bodies and patterns here are ASCII on
one line, display names have no wildcards, keys no needless backslashes, integers 53 bits.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.core.push.context import Context
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import SILENT
from support import synapse_evaluator as synapse
from support.builders import ALICE, BOB, ME, ROOM

_OTHER_ROOM = "!other:example.org"
_WORDS = ["lunch", "Lunch", "deploy", "deployment", "me", "Me", "@room", "a", "b", ":)", "l*nch", "d?ploy", "_x", "7"]
_TYPES = [
    *["m.room.message"] * 6,
    "m.room.encrypted",
    "m.room.member",
    "m.room.topic",
    "m.room.tombstone",
    "m.room.server_acl",
    "m.reaction",
    "m.call.invite",
    "im.vector.modular.widgets",
    "M.Room.Message",
]

bodies = st.lists(st.sampled_from([*_WORDS, " ", " ", "-", "!"]), max_size=7).map("".join)
patterns = st.lists(st.sampled_from([*_WORDS, "*", "?", " ", "-", "l", "ploy"]), max_size=4).map("".join)
scalars = st.sampled_from([True, False, None, 0, 1, 2, "", "1", "m.replace", "m.text", ME, "deploy", 2**53 - 1])
values: st.SearchStrategy[Any] = st.one_of(
    scalars,
    st.lists(st.one_of(scalars, st.just({}), st.just([1]), st.just(1.0)), max_size=3),
    st.dictionaries(st.sampled_from(["a", "a.b", "a\\b", ""]), scalars, max_size=2),
    st.sampled_from([1.0, 0.5]),
    bodies,
)
keys = st.sampled_from(
    [
        "type", "sender", "room_id", "state_key", "content", "content.body", "content.msgtype",
        r"content.m\.mentions.user_ids", r"content.m\.mentions.room", r"content.m\.relates_to.rel_type", "content.x",
        "content.x.a", r"content.x.a\.b", r"content.x.a\\b", "content.x.", "content.x.0", "", ".",
        "content.formatted_body", "nothing",
    ]
)  # fmt: skip
counts = st.builds(
    "{}{}".format, st.sampled_from(["", "==", "<", ">", "<=", "<=", ">=", ">=", "=", " "]), st.integers(1, 4)
)

conditions = st.one_of(
    st.builds(lambda k, p: {"kind": "event_match", "key": k, "pattern": p}, keys, patterns),
    st.builds(lambda t: {"kind": "event_match", "key": "type", "pattern": t}, st.sampled_from([*_TYPES, "m.room.*"])),
    st.builds(lambda k, v: {"kind": "event_property_is", "key": k, "value": v}, keys, scalars),
    st.builds(lambda k, v: {"kind": "event_property_contains", "key": k, "value": v}, keys, scalars),
    st.just({"kind": "contains_display_name"}),
    st.builds(lambda n: {"kind": "room_member_count", "is": n}, counts),
    st.builds(lambda k: {"kind": "sender_notification_permission", "key": k}, st.sampled_from(["room", "other", ""])),
    st.builds(
        lambda r, f, more: {"kind": "im.nheko.msc3664.related_event_match", "rel_type": r, **f, **more},
        st.sampled_from(["m.in_reply_to", "m.thread"]),
        st.sampled_from([{}, {"include_fallbacks": True}, {"include_fallbacks": False}]),
        st.one_of(st.just({}), st.builds(lambda k, p: {"key": k, "pattern": p}, keys, patterns)),
    ),
    st.sampled_from(
        [
            {"kind": "unheard of"},
            {"kind": "event_match", "key": "content.body"},
            {"kind": "event_property_is", "key": "content.x"},
            {"kind": "room_member_count"},
        ]
    ),
)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Up to three rules of each kind, as a user could have made them."""

    def listed(**fields: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
        made = draw(
            st.lists(st.fixed_dictionaries({"enabled": st.sampled_from([True, True, False]), **fields}), max_size=2)
        )
        return [{"rule_id": f"r{number}", "actions": ["notify"], **rule} for number, rule in enumerate(made)]

    def about(*ids: str) -> list[dict[str, Any]]:
        return [{"rule_id": rule_id, "actions": [], "enabled": True} for rule_id in draw(st.sets(st.sampled_from(ids)))]

    return {
        "override": listed(conditions=st.lists(conditions, min_size=1, max_size=3)),
        "content": listed(pattern=patterns),
        "room": about(ROOM, _OTHER_ROOM) if draw(st.integers(0, 3)) == 0 else [],
        "sender": about(ALICE, BOB) if draw(st.integers(0, 3)) == 0 else [],
        "underride": listed(conditions=st.lists(conditions, max_size=3)),
    }


contents = st.fixed_dictionaries(
    {},
    optional={
        "body": st.one_of(bodies, bodies, scalars),
        "formatted_body": bodies,
        "msgtype": st.sampled_from(["m.text", "m.notice", "M.NOTICE", 1]),
        "membership": st.sampled_from(["invite", "join"]),
        "type": st.sampled_from(["jitsi", "other"]),
        "m.mentions": st.sampled_from(
            [{}, None, "foo", {"room": True}, {"room": 1}, {"user_ids": [ME]}, {"user_ids": ME}, {"user_ids": [[], ME]}]
        ),
        "x": values,
    },
)
relations = st.sampled_from(
    [
        None,
        {"rel_type": "m.replace", "event_id": "$other"},
        {"rel_type": "m.thread", "event_id": "$other"},
        {"m.in_reply_to": {"event_id": "$other"}},
    ]
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event by somebody else."""
    event: dict[str, Any] = {
        "type": draw(st.sampled_from(_TYPES)),
        "sender": draw(st.sampled_from([ALICE, BOB])),
        "room_id": draw(st.sampled_from([ROOM, ROOM, _OTHER_ROOM])),
        "event_id": "$event",
        "content": draw(contents),
    }
    if (relation := draw(relations)) is not None:
        event["content"]["m.relates_to"] = relation
    if (state_key := draw(st.sampled_from([None, "", ME, ALICE, "x"]))) is not None:
        event["state_key"] = state_key
    return event


contexts = st.builds(
    Context,
    user_id=st.just(ME),
    display_name=st.sampled_from([None, "", "Me", "deploy", "a b", "@room", "[a-z]"]),
    member_count=st.integers(1, 4),
    power_levels=st.sampled_from(
        [
            {},
            {"users": {ALICE: 50}},
            {"users_default": 50},
            {"users": {ALICE: 10}, "notifications": {"room": 10}},
            {"users_default": 49, "notifications": {"other": 0}},
        ]
    ),
    room_version=st.sampled_from(["9", "11", "12"]),
    creators=st.sampled_from([frozenset({ALICE}), frozenset({BOB})]),
    related=st.sampled_from([{}, {"m.in_reply_to": {"type": "m.room.message", "content": {"body": "lunch deploy"}}}]),
)


def among_the_predefined(user_rules: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The user's rules where a homeserver lists them: before its own, but after the master rule."""
    predefined = predefined_rules(ME)
    master, *override = predefined["override"]
    return {
        "override": [master, *user_rules["override"], *override],
        "content": user_rules["content"],
        "room": user_rules["room"],
        "sender": user_rules["sender"],
        "underride": [*user_rules["underride"], *predefined["underride"], synapse.JITSI],
    }


_EVENTS, _CONTEXTS, _RULESETS = 5, 4, 1_000
"""Each event meets each context in each ruleset: 20,000 cases."""

_event_lists = st.lists(events(), min_size=_EVENTS, max_size=_EVENTS)
_context_lists = st.lists(contexts, min_size=_CONTEXTS, max_size=_CONTEXTS)


@pytest.mark.timeout(900)
@settings(max_examples=_RULESETS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(rules(), _event_lists, _context_lists)
def test_the_same_rule_matches_as_in_synapse(
    user_rules: dict[str, list[dict[str, Any]]], some_events: list[dict[str, Any]], some_contexts: list[Context]
) -> None:
    ruleset, theirs = Ruleset.parse(among_the_predefined(user_rules)), synapse.SynapseRules(user_rules)
    cases = list(itertools.product(some_events, some_contexts))

    ours = [ruleset.judge(event, context).rule for event, context in cases]

    assert ours == [theirs.rule_of(event, context) for event, context in cases]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(rules(), _event_lists, _context_lists)
def test_a_trace_ends_at_the_rule_that_decides(
    user_rules: dict[str, list[dict[str, Any]]], some_events: list[dict[str, Any]], some_contexts: list[Context]
) -> None:
    ruleset = Ruleset.parse(among_the_predefined(user_rules))

    for event, context in itertools.product(some_events, some_contexts):
        matched = [step.rule.verdict for step in ruleset.trace(event, context) if step.has_matched]

        assert (matched or [SILENT]) == [ruleset.judge(event, context)]
