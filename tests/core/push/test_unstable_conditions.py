"""Conditions that are only proposed, under their unstable names."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.conditions import unstable
from support.rule_builders import holds, match, with_body, with_content

_THREAD = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}
_REPLY = {"m.relates_to": {"m.in_reply_to": {"event_id": "$mine"}}}
_FALLBACK = {"m.relates_to": {**_THREAD["m.relates_to"], **_REPLY["m.relates_to"], "is_falling_back": True}}
_MINE = with_body("shall we have lunch?")


def _subscription(subscribed: Any) -> dict[str, Any]:
    return {"kind": "io.element.msc4306.thread_subscription", "subscribed": subscribed}


def _related(rel_type: Any = "m.in_reply_to", **fields: Any) -> dict[str, Any]:
    return {"kind": "im.nheko.msc3664.related_event_match", "rel_type": rel_type, **fields}


@pytest.mark.parametrize("kind", unstable.KINDS)
def test_stable_names_are_not_known_yet(kind: str) -> None:
    stable = {"kind": kind.rpartition(".")[2], "subscribed": True, "rel_type": "m.in_reply_to"}

    assert not holds(stable, with_content(_THREAD), thread_subscribed=True, related={"m.in_reply_to": _MINE})


@pytest.mark.parametrize(
    ("feature", "room_version", "result"),
    [
        ("org.matrix.msc3932.extensible_events", "org.matrix.msc1767.10", True),
        ("org.matrix.msc3932.extensible_events", "11", False),
        ("org.matrix.msc3932.extensible_events", None, False),
        ("anything", "org.matrix.msc1767.10", False),
        (None, "org.matrix.msc1767.10", False),
    ],
)
def test_room_version_supports_what_its_proposal_says(feature: Any, room_version: str | None, result: bool) -> None:
    condition = {"kind": "org.matrix.msc3931.room_version_supports", "feature": feature}

    assert holds(condition, with_body("x"), room_version=room_version) is result


@pytest.mark.parametrize("subscribed", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_thread_subscription_compares_in_a_thread(subscribed: bool, wanted: bool) -> None:
    assert holds(_subscription(wanted), with_content(_THREAD), thread_subscribed=subscribed) is (wanted is subscribed)


@pytest.mark.parametrize("content", [{}, _REPLY, {"m.relates_to": None}, {"m.relates_to": []}])
@pytest.mark.parametrize("wanted", [True, False])
def test_thread_subscription_never_matches_outside_a_thread(content: dict[str, Any], wanted: bool) -> None:
    assert not holds(_subscription(wanted), with_content(content), thread_subscribed=wanted)


@pytest.mark.parametrize("wanted", [True, False, None, 1, "true"])
def test_thread_subscription_never_matches_what_is_unknown(wanted: Any) -> None:
    assert not holds(_subscription(wanted), with_content(_THREAD), thread_subscribed=None)


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        (_related(), True),
        (_related(key="content.body", pattern="lunch"), True),
        (_related(key="content.body", pattern="lun"), False),
        (_related(key="sender", pattern="@ALICE:*"), True),
        (_related(key="content.nothing", pattern="*"), False),
        (_related(pattern="lunch"), True),
        (_related(key="content.body"), False),
        (_related(key=1, pattern="*"), False),
        (_related("m.thread"), False),
        (_related(None), False),
    ],
)
def test_related_event_match_looks_at_the_other_event(condition: dict[str, Any], result: bool) -> None:
    assert holds(condition, with_content(_REPLY), related={"m.in_reply_to": _MINE}) is result


@pytest.mark.parametrize(
    ("fields", "result"), [({}, False), ({"include_fallbacks": False}, False), ({"include_fallbacks": True}, True)]
)
def test_a_fallback_reply_in_a_thread_is_related_on_request_only(fields: dict[str, Any], result: bool) -> None:
    assert holds(_related(**fields), with_content(_FALLBACK), related={"m.in_reply_to": _MINE}) is result
    assert holds(_related("m.thread", **fields), with_content(_FALLBACK), related={"m.thread": _MINE})


@pytest.mark.parametrize("related", [{}, {"m.in_reply_to": None}, {"m.in_reply_to": "lunch"}])
def test_related_event_match_needs_the_other_event(related: Any) -> None:
    assert not holds(_related(), with_content(_REPLY), related=related)


def test_two_related_events_are_told_apart() -> None:
    related = {"m.in_reply_to": _MINE, "m.thread": with_body("the root")}
    conditions = [
        _related(key="content.body", pattern="lunch"),
        _related("m.thread", key="content.body", pattern="root"),
        _related(key="content.body", pattern="we"),
        match("content.body", "reply"),
    ]

    assert holds(conditions, with_content({"body": "a reply", **_REPLY}), related=related)


@pytest.mark.parametrize(
    ("content", "event", "result"),
    [
        ({"m.intent": "m.ring"}, {}, True),
        ({"m.intent": "m.prompt"}, {}, True),
        ({"m.intent": "m.ring"}, {"unsigned": {"prev_content": {}}}, True),
        ({"m.intent": "m.ring"}, {"unsigned": {"prev_content": {"m.terminated": "ended"}}}, True),
        ({"m.intent": "m.ring"}, {"prev_content": {"m.terminated": "ended"}}, True),
        ({"m.intent": "m.ring"}, {"unsigned": {"prev_content": {"m.intent": "m.ring"}}}, False),
        ({"m.intent": "m.ring"}, {"prev_content": {"m.intent": "m.ring"}}, False),
        ({"m.intent": "m.ring", "m.terminated": "ended"}, {}, False),
        ({"m.intent": "m.room"}, {}, False),
        ({"m.intent": ["m.ring"]}, {}, False),
        ({}, {}, False),
        (None, {}, False),
        ({"m.intent": "m.ring"}, {"unsigned": 1}, True),
        ({"m.intent": "m.ring"}, {"unsigned": {"prev_content": "x"}}, True),
    ],
)
def test_call_started_matches_a_call_that_begins(content: Any, event: dict[str, Any], result: bool) -> None:
    assert holds({"kind": "org.matrix.msc3914.call_started"}, {**with_content(content), **event}) is result
