"""Ids that homeservers give to rooms, events and users, and the keys of our own making that must never reach one.

An id is a type of its own, which only the checks in this module make of a text; what talks to the homeserver takes
nothing else. A homeserver hands out ids as others made them up, so the checks are lenient: what rings must be found
again under the very id it came with. Only a filter is strict: a key of our own in one had Synapse refuse every poll.
Tests: test_a_key_of_our_own_is_no_id, test_a_room_may_have_an_id_that_no_filter_takes.

Source: specification, "Common identifier format"; MSC4291 for rooms whose id names no server.
"""

from __future__ import annotations

import re
from typing import NewType, TypeGuard

RoomId = NewType("RoomId", str)
EventId = NewType("EventId", str)
UserId = NewType("UserId", str)
FilterRoomId = NewType("FilterRoomId", RoomId)
"""A room that a filter may name: Synapse refuses a whole request for one id in its filter that does not fit."""
OwnKey = NewType("OwnKey", str)
"""The key of something to which no homeserver gave an id: an invite, the first start's summary, a malformed event."""
EventKey = EventId | OwnKey
"""The key by which the ledger knows what it judged."""

NO_ROOM = OwnKey("")
"""Stands in place of a room's id, for what is of no room."""
NOBODY = OwnKey("")
"""Stands in place of a user's id, for what nobody is told to have sent."""

MAX_ID = 255
"""Characters. The specification means bytes, but old rooms hold longer ids."""

_WITHOUT_SERVER = re.compile(r"![A-Za-z0-9_-]{43}")
"""Since room version 12 (MSC4291): the hash of the room's first event."""
_SERVER_NAME = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)(?::[0-9]{1,5})?")


def is_room_id(value: object) -> TypeGuard[RoomId]:
    """Whether a homeserver may have given it to a room."""
    return _is_id(value, "!")


def is_event_id(value: object) -> TypeGuard[EventId]:
    """Whether a homeserver may have given it to an event. A key of our own is none."""
    return _is_id(value, "$")


def is_user_id(value: object) -> TypeGuard[UserId]:
    return _is_id(value, "@") and ":" in value


def fits_filter(room_id: RoomId) -> TypeGuard[FilterRoomId]:
    """Whether a filter may name this room: what the specification allows, and Synapse's `RoomID.is_valid`, too."""
    if len(room_id.encode()) > MAX_ID:
        return False
    _, has_server, server = room_id.partition(":")
    return _is_server_name(server) if has_server else _WITHOUT_SERVER.fullmatch(room_id) is not None


def event_key(text: str) -> EventKey:
    """What the ledger or the user named: the homeserver's id, or a key of our own."""
    return text if is_event_id(text) else OwnKey(text)


def own_key(kind: str, name: str) -> OwnKey:
    """A key that no id can be, since none begins with a letter. `kind` says what it is of."""
    return OwnKey(f"{kind}:{name}")


def _is_id(value: object, sigil: str) -> TypeGuard[str]:
    if not isinstance(value, str) or value[:1] != sigil or not 1 < len(value) <= MAX_ID or "\0" in value:
        return False
    # Half of a surrogate pair has no UTF-8, so that no URL and no JSON could carry it.
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _is_server_name(name: str) -> bool:
    found = _SERVER_NAME.fullmatch(name)
    if found is None:
        return False
    if (address := found["ipv6"]) is None:
        return True
    import ipaddress  # Hardly ever needed, and slow to import.

    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True
