"""The content of replies, and how often rooms want new keys for them."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.encryption.values import MEGOLM, Rotation, read_rotation
from heliograph.core.text.reply import reply_content
from support.builders import ALICE


def test_a_text_without_an_original_mentions_nobody() -> None:
    assert reply_content("hello", None, None, None) == {"msgtype": "m.text", "body": "hello", "m.mentions": {}}


def test_a_reply_names_and_mentions_whom_it_answers() -> None:
    content = reply_content("yes", "$event", ALICE, None)
    assert content["m.relates_to"] == {"m.in_reply_to": {"event_id": "$event"}}
    assert content["m.mentions"] == {"user_ids": [ALICE]}


def test_a_reply_in_a_thread_stays_there() -> None:
    assert reply_content("yes", "$event", ALICE, "$root")["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": "$root",
        "is_falling_back": False,
        "m.in_reply_to": {"event_id": "$event"},
    }


@pytest.mark.parametrize(
    ("encryption", "rotation"),
    [
        ({}, Rotation()),
        ({"rotation_period_msgs": 10, "rotation_period_ms": 86_400_000}, Rotation(10, 86_400_000)),
        ({"rotation_period_msgs": 10**9, "rotation_period_ms": 10**12}, Rotation()),
        ({"rotation_period_msgs": 0, "rotation_period_ms": -1}, Rotation(1, 3_600_000)),
        ({"rotation_period_msgs": "10", "rotation_period_ms": True}, Rotation()),
    ],
)
def test_rooms_may_want_new_keys_sooner_never_later(encryption: dict[str, Any], rotation: Rotation) -> None:
    assert read_rotation({"algorithm": MEGOLM, **encryption}) == rotation


def test_an_unknown_encryption_has_no_rotation() -> None:
    assert read_rotation({"algorithm": "m.moon"}) is None
