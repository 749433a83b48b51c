"""What receipts and read markers cover."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.encryption.values import RoomKey
from heliograph.core.events import JoinedRoom, Receipt
from heliograph.core.ids import EventId, EventKey, event_key
from heliograph.core.record import LockedEvent
from heliograph.core.sync.reading import in_order, read_elsewhere
from support.builders import ROOM, make_delivery, make_event

FIRST = make_delivery("$1")
SECOND = make_delivery("$2")
THREADED = make_delivery("$3", thread_root="$1")
FOURTH = make_delivery("$4")
_PLACES = {"$1": (0, 1), "$2": (0, 2), "$3": (0, 3), "$own": (0, 3), "$4": (1, 0)}
ALL = [FIRST, SECOND, THREADED, FOURTH]
ORDER = {event_key(name): place for name, place in _PLACES.items()}


def read(*receipts: Receipt, **room: Any) -> frozenset[EventKey]:
    return read_elsewhere(JoinedRoom(ROOM, receipts=receipts, **room), ALL, ORDER)


@pytest.mark.parametrize(
    ("receipt", "covered"),
    [
        (Receipt(ROOM, EventId("$2")), {"$1", "$2"}),
        (Receipt(ROOM, EventId("$4")), {"$1", "$2", "$3", "$4"}),
        (Receipt(ROOM, EventId("$own")), {"$1", "$2", "$3"}),
        (Receipt(ROOM, EventId("$4"), "main"), {"$1", "$2", "$4"}),
        (Receipt(ROOM, EventId("$3"), "$1"), {"$3"}),
        (Receipt(ROOM, EventId("$4"), "$other"), set()),
        (Receipt(ROOM, EventId("$unknown")), set()),
    ],
)
def test_a_receipt_covers_what_lies_before_it_in_its_thread(receipt: Receipt, covered: set[str]) -> None:
    assert read(receipt) == covered


def test_a_read_marker_covers_like_an_unthreaded_receipt() -> None:
    assert read(fully_read="$2") == {"$1", "$2"}


def test_a_count_of_zero_makes_a_marker_at_an_unknown_event_cover_all() -> None:
    assert read(Receipt(ROOM, EventId("$unknown")), notification_count=0) == {"$1", "$2", "$3", "$4"}
    assert read(Receipt(ROOM, EventId("$unknown")), notification_count=1) == set()


def test_a_count_of_zero_alone_proves_nothing() -> None:
    assert read(notification_count=0) == set()


def test_an_event_that_waits_for_its_key_is_read_in_its_thread() -> None:
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$1"}}
    event = make_event(event_id="$3", type="m.room.encrypted", content=relation)
    locked = [LockedEvent(event, RoomKey(ROOM, "session"))]
    in_main = JoinedRoom(ROOM, receipts=(Receipt(ROOM, EventId("$4"), "main"),))
    in_thread = JoinedRoom(ROOM, receipts=(Receipt(ROOM, EventId("$3"), "$1"),))
    assert read_elsewhere(in_main, locked, ORDER) == set()
    assert read_elsewhere(in_thread, locked, ORDER) == {"$3"}


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
