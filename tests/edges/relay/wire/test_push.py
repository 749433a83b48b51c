"""Bodies of pushes, taken apart and put together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edges.relay.stage import make_twin
from heliograph.relay.model.pushers import MARK
from heliograph.relay.wire.push import MalformedPush, pack, read_push, restore


def test_an_adopted_pusher_loses_its_mark_again() -> None:
    original = {"data": {"url": "https://x", "format": "event_id_only", "io.example": 1}}
    twin = make_twin(original=original, is_adopted=True)
    packed = pack({"event_id": "$1"}, {"pushkey": "phone", "data": {MARK: "hidden"}, "tweaks": {"sound": "default"}})
    (device,) = json.loads(restore(packed, twin, is_brief=False))["notification"]["devices"]
    assert device == {
        "app_id": "app",
        "pushkey": "phone",
        "tweaks": {"sound": "default"},
        "data": {"format": "event_id_only", "io.example": 1},
    }


@pytest.mark.parametrize(
    ("content", "thread"),
    [
        (None, None),
        ("text", None),
        ({}, "main"),
        ({"m.relates_to": {"m.in_reply_to": {"event_id": "$0"}}}, "main"),
        ({"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}, "$root"),
        ({"m.relates_to": {"rel_type": "m.thread", "event_id": 5}}, "main"),
        ({"m.relates_to": {"rel_type": "m.annotation", "event_id": "$0"}}, None),
        ({"m.relates_to": "nothing"}, "main"),
    ],
)
def test_the_thread_is_told_by_content_alone(content: Any, thread: str | None) -> None:
    body = {"notification": {"event_id": "$1", "room_id": "!r", "content": content, "devices": []}}
    assert read_push(json.dumps(body).encode()).thread_id == thread


@pytest.mark.parametrize("counts", [None, "x", {}, {"unread": "1"}, {"unread": True}, {"unread": 1.5}])
def test_a_count_that_makes_no_sense_is_none(counts: Any) -> None:
    body: dict[str, Any] = {"notification": {"event_id": "$1", "room_id": "!r", "counts": counts, "devices": []}}
    assert read_push(json.dumps(body).encode()).unread is None
    del body["notification"]["event_id"]
    assert read_push(json.dumps(body).encode()).unread == 0


@pytest.mark.parametrize("ids", [{"event_id": 5}, {"event_id": "$" * 2000}, {"event_id": "$1", "room_id": ["!r"]}])
def test_identifiers_are_text_of_a_sane_length(ids: Any) -> None:
    with pytest.raises(MalformedPush):
        read_push(json.dumps({"notification": {**ids, "devices": []}}).encode())
