"""What an event relates to, read from content that a stranger wrote."""

from __future__ import annotations

from typing import Any

import pytest

from support.builders import make_event, make_redaction


def related(relation: Any) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": "x", "m.relates_to": relation}


@pytest.mark.parametrize(
    ("relation", "thread_root", "replaces"),
    [
        ({"rel_type": "m.thread", "event_id": "$1"}, "$1", None),
        ({"rel_type": "m.replace", "event_id": "$1"}, None, "$1"),
        ({"rel_type": "m.thread", "event_id": 5}, None, None),
        ({"rel_type": "m.replace"}, None, None),
        ({"rel_type": ["m.thread"], "event_id": "$1"}, None, None),
        ("nonsense", None, None),
        (None, None, None),
    ],
)
def test_relations_are_read_only_where_they_are_whole(
    relation: Any, thread_root: str | None, replaces: str | None
) -> None:
    event = make_event(content=related(relation))
    assert (event.thread_root, event.replaces) == (thread_root, replaces)


def test_a_redaction_names_its_target_in_either_place() -> None:
    assert make_redaction("$1").redacts == "$1"
    assert make_event(type="m.room.redaction", content={"redacts": "$1"}).redacts == "$1"
    assert make_event(type="m.room.redaction", content={}, redacts="$1").redacts == "$1"
    assert make_event(type="m.room.redaction", content={"redacts": 5}).redacts is None
    assert make_event(content={"body": "x", "redacts": "$1"}).redacts is None


def test_a_redacted_event_is_told_by_its_unsigned_part() -> None:
    assert make_event(unsigned={"redacted_because": {}}).is_redacted
    assert not make_event(unsigned={"age": 5}).is_redacted
    assert not make_event(unsigned="nonsense").is_redacted
    assert not make_event().is_redacted
