"""When the user joined a room, and which room it took the place of, as a sync tells."""

from __future__ import annotations

from collections.abc import Container, Mapping

from heliograph.core.events import Event, JoinedRoom, Sync
from heliograph.core.ids import RoomId, is_room_id
from heliograph.core.record import RoomRecord
from heliograph.core.room import RoomFacts

JOIN = "join"


def is_joined(record: RoomRecord | None) -> bool:
    """Returns True if the ledger knows the user to be in the room. Of one that was left it keeps no facts, and of one
    with an invite the inviter."""
    return record is not None and record.facts.inviter is None and record.facts != RoomFacts(record.facts.room_id)


def joined_at(room: JoinedRoom, me: str, *, was_in: bool) -> int | None:
    """Index of the timeline's event with which the user last joined the room; None: the user was in it all along.

    A change of the user's own name is a join event, too. `prev_content` tells it apart, and where a server leaves that
    out, `was_in` does: whether the ledger knows the user to be in the room.
    Test: test_a_change_of_the_own_name_is_no_joining_whatever_its_event_lacks.
    """
    joined = None
    for index, event in enumerate(room.timeline):
        if not isinstance(event, Event) or event.type != "m.room.member" or event.state_key != me:
            continue
        unsigned = event.raw.get("unsigned")
        before = unsigned.get("prev_content") if isinstance(unsigned, Mapping) else None
        if isinstance(before, Mapping):
            was_in = before.get("membership") == JOIN
        is_in = event.content.get("membership") == JOIN
        if is_in and not was_in:
            joined = index
        was_in = is_in
    return joined


def tells_of_member(room: JoinedRoom, user_id: str) -> bool:
    """Returns True if the user's membership or name changed in this room."""
    return any(
        isinstance(event, Event) and event.type == "m.room.member" and event.state_key == user_id
        for event in (*room.state, *room.timeline)
    )


def has_left_meanwhile(room: JoinedRoom, me: str, *, known: Container[str], since_ms: int) -> bool:
    """Returns True if the state beside the timeline says that the user left the room and joined again, in a gap.

    Servers repeat the user's member event beside each message of their own: only one that is not `known` and no older
    than `since_ms` (ms since 1970) tells of another joining.
    Test: test_a_join_that_is_told_again_beside_an_own_message_takes_nothing_back.
    """
    for event in room.state if room.limited else ():
        if isinstance(event, Event) and event.type == "m.room.member" and event.state_key == me:
            unsigned = event.raw.get("unsigned")
            before = unsigned.get("prev_content") if isinstance(unsigned, Mapping) else None
            was_out = isinstance(before, Mapping) and before.get("membership") in ("leave", "ban", "invite")
            is_new = event.event_id not in known and event.origin_server_ts >= since_ms
            return is_new and was_out and event.content.get("membership") == JOIN
    return False


def predecessor_of(room: JoinedRoom) -> RoomId | None:
    """The room whose place this one says to take, if its creation is told of, as after joining it."""
    for event in (*room.state, *room.timeline):
        if isinstance(event, Event) and event.type == "m.room.create":
            predecessor = event.content.get("predecessor")
            room_id = predecessor.get("room_id") if isinstance(predecessor, Mapping) else None
            return room_id if is_room_id(room_id) else None
    return None


def related_rooms(sync: Sync) -> frozenset[RoomId]:
    """Rooms that took the place of others in this sync, or whose place was taken."""
    found = {predecessor_of(room) for room in sync.joined}
    for room in sync.joined:
        for event in room.timeline:
            if isinstance(event, Event) and event.type == "m.room.tombstone":
                replacement = event.content.get("replacement_room")
                found.add(replacement if is_room_id(replacement) else None)
    return frozenset(room_id for room_id in found if room_id is not None)
