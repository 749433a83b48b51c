from __future__ import annotations

from heliograph.core.ids import RoomId
from heliograph.core.room import RoomFacts
from heliograph.core.room_search import find_rooms, resolve_name
from support.builders import ALICE, BOB, ME, make_facts

LUNCH = make_facts("!lunch:x")
BIG_LUNCH = make_facts("!big:x", name="Big  Lunch")
DIRECT = make_facts("!direct:x", name=None, heroes=(ALICE, BOB), joined_member_count=3)
LEFT = RoomFacts(RoomId("!left:x"))
ROOMS = [LUNCH, BIG_LUNCH, DIRECT, LEFT]


def test_a_room_is_found_by_its_title_in_any_case() -> None:
    assert find_rooms(" lunch ", ROOMS, ME).exact == (LUNCH,)
    assert find_rooms("BIG LUNCH", ROOMS, ME).exact == (BIG_LUNCH,)
    assert find_rooms("alice and bob", ROOMS, ME).exact == (DIRECT,)


def test_rooms_of_the_same_name_are_all_found() -> None:
    twin = make_facts("!twin:x")
    found = find_rooms("Lunch", [*ROOMS, twin], ME)
    assert found.exact == (LUNCH, twin)
    assert found.similar == ()


def test_without_one_of_this_name_those_like_it_are_named() -> None:
    found = find_rooms("lun", ROOMS, ME)
    assert (found.exact, found.similar) == ((), (LUNCH, BIG_LUNCH))


def test_a_room_that_nothing_is_known_of_is_not_found() -> None:
    assert find_rooms("Unnamed room", ROOMS, ME).exact == ()


def test_a_name_stands_for_the_one_room_that_has_it() -> None:
    aliased = make_facts("!aliased:x", canonical_alias="#tea:x")
    invited = make_facts("!invited:x", inviter=ALICE)
    rooms = [*ROOMS, aliased, invited]
    assert resolve_name("big lunch", rooms, ME) == "!big:x"
    assert resolve_name("#tea:x", rooms, ME) == "!aliased:x"
    assert resolve_name("Lunch", [LUNCH, invited], ME) == "!lunch:x"
    assert resolve_name("Lunch", rooms, ME) is None
    assert resolve_name("Supper", rooms, ME) is None
