from __future__ import annotations

from heliograph.core.delivery import State
from heliograph.core.ids import RoomId
from heliograph.core.notification import Category
from heliograph.core.summary.unread import MOST_ROOMS, Rung, UnreadMessage, UnreadRoom, inbox_as_json, newest_first
from support.builders import ALICE, ME, ROOM


def test_a_room_tells_scripts_of_its_messages() -> None:
    message = UnreadMessage("$a", ALICE, "Alice", "hello", 5, Category.MESSAGE, State.SHOWN, is_highlight=True)
    assert UnreadRoom(ROOM, "Lunch", 3, 1, 5, messages=(message,)).as_json() == {
        "room_id": ROOM,
        "title": "Lunch",
        "direct": False,
        "unread": 3,
        "highlights": 1,
        "latest_ms": 5,
        "messages": [
            {
                "event_id": "$a",
                "sender": ALICE,
                "sender_name": "Alice",
                "text": "hello",
                "sent_ms": 5,
                "category": "im.received",
                "state": "shown",
                "highlight": True,
            }
        ],
    }


def test_history_never_tells_what_was_said() -> None:
    assert Rung(ROOM, "Lunch", ALICE, 5, State.WITHDRAWN, "read elsewhere", ".m.rule.message").as_json() == {
        "room_id": ROOM,
        "title": "Lunch",
        "sender": ALICE,
        "sender_name": "",
        "sent_ms": 5,
        "state": "withdrawn",
        "why": "read elsewhere",
        "rule": ".m.rule.message",
    }


def test_an_inbox_is_bounded_however_much_is_unread() -> None:
    messages = tuple(UnreadMessage(f"${n}", ALICE, "Alice", "x", n, Category.MESSAGE, State.SHOWN) for n in range(20))
    rooms = [UnreadRoom(RoomId(f"!{n}"), "R", 1, 0, latest_ms=n, messages=messages) for n in range(MOST_ROOMS + 9)]
    told = inbox_as_json({ME: rooms})
    assert told["unread"] == MOST_ROOMS + 9
    assert len(told["rooms"]) == MOST_ROOMS
    assert told["rooms"][0]["room_id"] == "!0"
    assert [len(room["messages"]) for room in told["rooms"]] == [20] * 50 + [0] * 150


def test_a_list_keeps_its_order_whatever_the_clocks_say() -> None:
    def rung(name: str, sent_ms: int, arrived_ms: int) -> Rung:
        return Rung(ROOM, name, ALICE, sent_ms, State.SHOWN, "", "", arrived_ms=arrived_ms)

    mine = [rung("newest", 0, 30), rung("of a clock that was put back", 5, 40), rung("oldest", 10**14, 10)]
    hers = [rung("between", 7, 20)]
    assert [(account, each.title) for account, each in newest_first({ME: mine, ALICE: hers})] == [
        (ME, "newest"),
        (ME, "of a clock that was put back"),
        (ALICE, "between"),
        (ME, "oldest"),
    ]
