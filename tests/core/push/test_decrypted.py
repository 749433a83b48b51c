"""The event as it is judged a second time, after decryption."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.context import Context
from heliograph.core.push.decrypted import decrypted, sealed
from heliograph.core.push.rules import Ruleset
from support.builders import ME, make_event

_REPLACES = {"rel_type": "m.replace", "event_id": "$mine"}
_THREAD = {"rel_type": "m.thread", "event_id": "$root"}


def _encrypted(**content: Any) -> Any:
    return make_event(type="m.room.encrypted", content={"ciphertext": "x", **content}).raw


def test_type_and_content_are_the_payload_s_and_all_else_is_the_event_s() -> None:
    event = _encrypted()

    clear = decrypted(event, {"type": "m.room.message", "content": {"body": "hi"}, "room_id": "!x", "sender": "@x:y"})

    assert clear == {**event, "type": "m.room.message", "content": {"body": "hi"}}


@pytest.mark.parametrize("inner", [{}, {"m.relates_to": _REPLACES}])
def test_the_relation_outside_is_the_one_that_holds(inner: dict[str, Any]) -> None:
    clear = decrypted(_encrypted(**{"m.relates_to": _THREAD}), {"type": "m.room.message", "content": inner})

    assert clear["content"] == {"m.relates_to": _THREAD}


def test_a_relation_in_the_payload_alone_is_ignored() -> None:
    clear = decrypted(_encrypted(), {"type": "m.room.message", "content": {"m.relates_to": _REPLACES}})

    assert clear["content"] == {}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({}, "underride/.m.rule.message"),
        ({"m.mentions": {"user_ids": [ME]}}, "override/.m.rule.is_user_mention"),
        ({"msgtype": "m.notice"}, "override/.m.rule.suppress_notices"),
    ],
)
def test_the_second_verdict_is_that_of_the_clear_event(content: dict[str, Any], rule: str) -> None:
    ruleset, event = Ruleset.predefined(ME), _encrypted()
    assert ruleset.judge(event, Context(ME)).rule == "underride/.m.rule.encrypted"

    assert ruleset.judge(decrypted(event, {"type": "m.room.message", "content": content}), Context(ME)).rule == rule


def test_an_edit_in_an_encrypted_room_stays_silent() -> None:
    event = _encrypted(**{"m.relates_to": _REPLACES})

    clear = decrypted(event, {"type": "m.room.message", "content": {"body": "* hi"}})

    assert Ruleset.predefined(ME).judge(clear, Context(ME)).rule == "override/.m.rule.suppress_edits"


@pytest.mark.parametrize("payload", [{}, {"type": 1, "content": "x"}, {"content": None}])
@pytest.mark.parametrize("content", [{}, None, "x"])
def test_a_payload_of_any_shape_gives_an_event_that_can_be_judged(payload: dict[str, Any], content: Any) -> None:
    clear = decrypted({**_encrypted(), "content": content}, payload)

    assert not Ruleset.predefined(ME).judge(clear, Context(ME)).notify


@pytest.mark.parametrize("relation", [{}, {"m.relates_to": _REPLACES}])
def test_of_what_was_decrypted_the_homeserver_saw_the_relation_alone(relation: dict[str, Any]) -> None:
    event = _encrypted(**relation)

    seen = sealed(decrypted(event, {"type": "m.room.message", "content": {"body": "hi"}}))

    assert seen == {**event, "content": relation}
