"""Which room ids a homeserver takes where: the grammar of the specification ("Common identifier format").

A homeserver hands out room ids as others made them up, and then may refuse some of these in requests. Synapse checks
those in a filter, and refuses the whole request for one that does not fit.
"""

from __future__ import annotations

import ipaddress
import re

MAX_BYTES = 255
"""Of any id, with its sigil and its server's name, in UTF-8."""

_WITHOUT_SERVER = re.compile(r"![A-Za-z0-9_-]{43}")
"""Since room version 12 (MSC4291): the hash of the room's first event."""
_SERVER_NAME = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)(?::[0-9]{1,5})?")


def fits_filter(room_id: str) -> bool:
    """Whether a filter may name this room: what the specification allows, and Synapse's `RoomID.is_valid`, too."""
    if room_id[:1] != "!" or "\0" in room_id or not _is_short(room_id):
        return False
    _, has_server, server = room_id.partition(":")
    return _is_server_name(server) if has_server else _WITHOUT_SERVER.fullmatch(room_id) is not None


def _is_server_name(name: str) -> bool:
    found = _SERVER_NAME.fullmatch(name)
    if found is None:
        return False
    if (address := found["ipv6"]) is None:
        return True
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def _is_short(text: str) -> bool:
    try:
        return len(text.encode()) <= MAX_BYTES
    except UnicodeEncodeError:
        # Half a surrogate pair, which no URL can carry.
        return False
