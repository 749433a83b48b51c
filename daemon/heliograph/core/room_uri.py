"""Addresses of rooms and events: for the programs that open them, and as people copy them from there.

They are made only from ids that are what the specification says.
Sources: Client-Server API appendices, "Matrix URI scheme" and "matrix.to navigation"; element-desktop reads
only the fragment of its `element:` address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, unquote

_ID_LIMIT_BYTES = 255
_ROOM_ID = re.compile(r"![^\x00-\x20\x7f:\ud800-\udfff]+(:[0-9A-Za-z.\-:\[\]]+)?")
_ROOM_ALIAS = re.compile(r"#[^\x00-\x20\x7f:\ud800-\udfff]+:[0-9A-Za-z.\-:\[\]]+")
_EVENT_ID = re.compile(r"\$[^\x00-\x20\x7f\ud800-\udfff]+")


class Form(Enum):
    """Who is to understand the address."""

    MATRIX = "matrix"
    """`matrix:`: nheko, Fractal, NeoChat, FluffyChat."""
    ELEMENT = "element"
    """`element:`: Element Desktop, which does not know `matrix:`."""
    MATRIX_TO = "matrix.to"
    """A web page that offers clients."""


def room_uri(form: Form, room_id: str, event_id: str | None = None) -> str | None:
    """The address of an event, or of its room if the event id is none. None if the room id is none.

    Pure ASCII without blanks, and it starts with its scheme: fit to be a program's argument.
    """
    if not _is_id(_ROOM_ID, room_id):
        return None
    event = event_id if event_id is not None and _is_id(_EVENT_ID, event_id) else None
    if form is Form.MATRIX:
        # Without their sigils, which the path says in words.
        path = f"roomid/{_quote(room_id[1:])}"
        return f"matrix:{path}/e/{_quote(event[1:])}" if event else f"matrix:{path}"
    base = "element://vector/webapp/#/room/" if form is Form.ELEMENT else "https://matrix.to/#/"
    return base + "/".join(_quote(part) for part in (room_id, event) if part)


@dataclass(frozen=True, slots=True)
class EventAddress:
    """Where an event is."""

    event_id: str
    room: str | None = None
    """The room's id or alias, if the address names it."""


def read_event_address(text: str) -> EventAddress | None:
    """What an event id, a `matrix:` URI, or a link of matrix.to or of a web client points to; None if to no event."""
    if text.startswith("$"):
        return EventAddress(text) if _is_id(_EVENT_ID, text) else None
    scheme, _, rest = text.partition(":")
    if scheme.lower() == "matrix":
        match rest.partition("?")[0].split("/"):
            case [("roomid" | "r" | "room") as kind, room, "e" | "event", event_id]:
                return _address(("!" if kind == "roomid" else "#") + unquote(room), "$" + unquote(event_id))
        return None
    _, hash_, path = text.partition("#/")
    room, slash, event_id = path.removeprefix("room/").partition("?")[0].partition("/")
    return _address(unquote(room), unquote(event_id)) if hash_ and slash else None


def _address(room: str, event_id: str) -> EventAddress | None:
    is_room = _is_id(_ROOM_ID, room) or _is_id(_ROOM_ALIAS, room)
    return EventAddress(event_id, room) if is_room and _is_id(_EVENT_ID, event_id) else None


def _is_id(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None and len(text.encode()) <= _ID_LIMIT_BYTES


def _quote(text: str) -> str:
    return quote(text, safe="!$:@")
