"""In which order things stand in their room."""

from __future__ import annotations

import pytest

from heliograph.core.events import JoinedRoom
from heliograph.core.ids import event_key
from heliograph.core.sync.order import in_order
from support.builders import ROOM, make_event


def _room(*event_ids: str) -> JoinedRoom:
    return JoinedRoom(ROOM, timeline=tuple(make_event(event_id=each) for each in event_ids))


@pytest.mark.parametrize(
    ("judged", "ordered"),
    [
        (["$2", "$1", "$3"], ["$1", "$2", "$3"]),
        (["$older", "$3", "$1", "$2"], ["$older", "$1", "$2", "$3"]),
        (["$b", "$2", "$a", "$1"], ["$a", "$b", "$1", "$2"]),
        (["$3", "$1"], ["$1", "$3"]),
        ([], []),
    ],
)
def test_what_was_judged_stands_as_in_its_timeline_whatever_was_listed_first(
    judged: list[str], ordered: list[str]
) -> None:
    rooms = [_room("$1", "$2", "$3"), _room("$a", "$b")]
    assert in_order(map(event_key, judged), rooms) == [event_key(each) for each in ordered]
