"""When the user joined a room, by what a sync tells and the ledger knows."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import pytest

from heliograph.core.events import Event, JoinedRoom, Malformed, Sync
from heliograph.core.record import RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.core.sync.joining import has_left_meanwhile, is_joined, joined_at, predecessor_of, related_rooms
from support.builders import ALICE, BOB, ME, ROOM, make_event, make_facts

ODD = Malformed("timeline", "odd")


def member(user_id: str = ME, membership: str = "join", **unsigned: Any) -> Event:
    raw: dict[str, Any] = {"unsigned": unsigned} if unsigned else {}
    return make_event(type="m.room.member", content={"membership": membership}, state_key=user_id, **raw)


def before(membership: str) -> dict[str, Any]:
    return {"prev_content": {"membership": membership}}


def in_room(*events: Event | Malformed) -> JoinedRoom:
    return JoinedRoom(ROOM, timeline=(make_event(), *events, make_event()))


@pytest.mark.parametrize("was_in", [True, False])
@pytest.mark.parametrize(("unsigned", "place"), [(before("invite"), 1), (before("leave"), 1), (before("join"), None)])
def test_what_the_event_tells_says_whether_it_is_a_joining(
    unsigned: dict[str, Any], place: int | None, was_in: bool
) -> None:
    assert joined_at(in_room(member(**unsigned)), ME, was_in=was_in) == place


@pytest.mark.parametrize("unsigned", [{}, {"age": 3}, {"replaces_state": "$old"}, {"prev_content": 7}])
def test_a_change_of_the_own_name_is_no_joining_whatever_its_event_lacks(unsigned: dict[str, Any]) -> None:
    room = in_room(member(**unsigned))
    assert joined_at(room, ME, was_in=True) is None
    assert joined_at(room, ME, was_in=False) == 1


def test_the_last_joining_counts() -> None:
    room = in_room(member(), member(membership="leave"), member(), member(membership="ban"), ODD, member())
    assert joined_at(room, ME, was_in=True) == 6
    assert joined_at(in_room(member(membership="leave")), ME, was_in=True) is None
    assert joined_at(in_room(member(BOB)), ME, was_in=False) is None


def _is_back(*events: Event | Malformed, limited: bool = True, known: Container[str] = (), since_ms: int = 0) -> bool:
    return has_left_meanwhile(JoinedRoom(ROOM, state=events, limited=limited), ME, known=known, since_ms=since_ms)


def test_who_left_and_joined_again_in_a_gap_is_known_by_the_state() -> None:
    assert _is_back(ODD, member(BOB), member(**before("leave")))
    assert _is_back(member(**before("ban")))
    assert not _is_back(member(**before("join")))
    assert not _is_back(member())
    assert not _is_back(member(membership="leave", **before("ban")))
    assert not _is_back(member(BOB, **before("leave")))


def test_a_join_that_is_told_again_beside_an_own_message_takes_nothing_back() -> None:
    join = member(**before("invite"))
    assert _is_back(join)
    assert not _is_back(join, limited=False)
    assert not _is_back(join, known={join.event_id})
    assert not _is_back(join, since_ms=join.origin_server_ts + 1)


def test_the_user_is_in_a_room_of_which_something_is_known_but_an_invite() -> None:
    assert is_joined(RoomRecord(make_facts()))
    assert is_joined(RoomRecord(RoomFacts(ROOM, stranger=ALICE)))
    assert not is_joined(RoomRecord(RoomFacts(ROOM), invite_serial=1))
    assert not is_joined(RoomRecord(RoomFacts(ROOM, name="Tea", inviter=ALICE)))
    assert not is_joined(None)


@pytest.mark.parametrize(
    ("content", "old"),
    [
        ({"predecessor": {"room_id": "!old:x"}}, "!old:x"),
        ({"predecessor": {"room_id": 7}}, None),
        ({"predecessor": "!old:x"}, None),
        ({}, None),
    ],
)
def test_a_room_names_its_predecessor_where_its_creation_is_told(content: dict[str, Any], old: str | None) -> None:
    create = make_event(type="m.room.create", content=content, state_key="")
    for room in (JoinedRoom(ROOM, state=(ODD, create)), JoinedRoom(ROOM, timeline=(make_event(), create))):
        assert predecessor_of(room) == old
        assert related_rooms(Sync("s2", joined=(room,))) == ({old} if old else set())
    assert predecessor_of(JoinedRoom(ROOM)) is None


@pytest.mark.parametrize(("replacement", "related"), [("!new:x", {"!new:x"}), (None, set()), ("new", set())])
def test_a_moved_room_is_related_to_the_new_one(replacement: object, related: set[str]) -> None:
    tombstone = make_event(type="m.room.tombstone", content={"replacement_room": replacement}, state_key="")
    assert related_rooms(Sync("s2", joined=(in_room(ODD, tombstone),))) == related
