from __future__ import annotations

import pytest

from heliograph.core.ids import RoomId
from heliograph.core.summary.summary import MOST_ROOMS, RoomCount, summarize, worst_state
from heliograph.core.summary.unread import UnreadRoom
from support.builders import ALICE, ME


def test_the_rooms_of_all_accounts_are_counted_together_the_newest_first() -> None:
    def room(name: str, unread: int, highlights: int, arrived_ms: int) -> UnreadRoom:
        # Senders' clocks claim the reverse.
        sent_ms = 10**14 - arrived_ms
        return UnreadRoom(RoomId(f"!{name}"), name.upper(), unread, highlights, sent_ms, arrived_ms)

    mine, hers = [room("a", 3, 1, 10), room("b", 1, 0, 5)], [room("a", 2, 0, 7)]
    summary = summarize({ME: "connected", ALICE: "offline"}, {ME: mine, ALICE: hers}, quiet_why="paused")
    assert (summary.unread, summary.highlights, summary.state) == (6, 1, "offline")
    assert summary.rooms == (
        RoomCount(ME, "!a", "A", 3, 1),
        RoomCount(ALICE, "!a", "A", 2, 0),
        RoomCount(ME, "!b", "B", 1, 0),
    )
    assert summary.accounts == ((ME, "connected"), (ALICE, "offline"))
    assert summary.quiet_why == "paused"


def test_why_accounts_do_not_work_is_told_of_those_that_do_not() -> None:
    summary = summarize({ME: "offline", ALICE: "connected"}, {}, troubles={ME: "no route", ALICE: ""})
    assert summary.troubles == ((ME, "no route"),)


def test_only_so_many_rooms_are_named_and_all_are_counted() -> None:
    rooms = [UnreadRoom(RoomId(f"!{number}"), "R", 1, 0, latest_ms=number) for number in range(MOST_ROOMS + 5)]
    summary = summarize({}, {ME: rooms})
    assert len(summary.rooms) == MOST_ROOMS
    assert summary.unread == MOST_ROOMS + 5


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (["connected", "connecting"], "connecting"),
        (["offline", "signed out", "connected"], "signed out"),
        (["signed out", "cannot run", "connected"], "cannot run"),
        (["connected", "waiting for keyring"], "waiting for keyring"),
        (["connected", "from the future"], "from the future"),
        ([], "connecting"),
    ],
)
def test_the_worst_state_counts(states: list[str], worst: str) -> None:
    assert worst_state(states) == worst
