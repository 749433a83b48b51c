"""Writes addresses of rooms for the programs that open them, and reads addresses of events that people copied there.

An address is made only from ids that are as the specification says: it becomes an argument of a program.
Sources: Client-Server API appendices, "Matrix URI scheme" and "matrix.to navigation"; element-desktop reads
only the fragment of its `element:` address.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import quote, unquote

from heliograph.core.value_type import value_type

_ID_LIMIT_BYTES = 255
_ROOM_ID = re.compile(r"![^\x00-\x20\x7f:\ud800-\udfff]+(:[0-9A-Za-z.\-:\[\]]+)?")
_ROOM_ALIAS = re.compile(r"#[^\x00-\x20\x7f:\ud800-\udfff]+:[0-9A-Za-z.\-:\[\]]+")
_EVENT_ID = re.compile(r"\$[^\x00-\x20\x7f\ud800-\udfff]+")


class AddressForm(Enum):
    """The kind of address, by the program that understands it."""

    MATRIX = "matrix"
    """`matrix:`, for nheko, Fractal, NeoChat, FluffyChat."""
    ELEMENT = "element"
    """`element:`, for Element Desktop, which does not know `matrix:`."""
    MATRIX_TO = "matrix.to"
    """A web page that offers several clients."""


def room_uri(form: AddressForm, room_id: str, event_id: str | None = None) -> str | None:
    """The address of an event; without a valid event id, that of the room; None: the room id is not valid.

    The address is ASCII without blanks and begins with its scheme, so that a program cannot take it for an option.
    """
    if not _is_id(_ROOM_ID, room_id):
        return None
    # A wrong event id costs only the place in the room: an invite has none of the homeserver's.
    event = event_id if event_id is not None and _is_id(_EVENT_ID, event_id) else None
    if form is AddressForm.MATRIX:
        # Without "!" and "$", in whose place the path has words.
        path = f"roomid/{_quote(room_id[1:])}"
        return f"matrix:{path}/e/{_quote(event[1:])}" if event else f"matrix:{path}"
    base = "element://vector/webapp/#/room/" if form is AddressForm.ELEMENT else "https://matrix.to/#/"
    return base + "/".join(_quote(part) for part in (room_id, event) if part)


@value_type
class EventAddress:
    """An event, and perhaps its room."""

    event_id: str
    room: str | None = None
    """The room's id or alias, if the address names it."""


def read_event_address(text: str) -> EventAddress | None:
    """The event to which `text` points: an event id, a `matrix:` URI, or a link of matrix.to or of a web client. None:
    it points to no event."""
    if text.startswith("$"):
        return EventAddress(text) if _is_id(_EVENT_ID, text) else None
    scheme, _, rest = text.partition(":")
    if scheme.lower() == "matrix":
        match rest.partition("?")[0].split("/"):
            case [("roomid" | "r" | "room") as kind, room, "e" | "event", event_id]:
                return _address(("!" if kind == "roomid" else "#") + unquote(room), "$" + unquote(event_id))
        return None
    # matrix.to and web clients keep the address in the fragment, which browsers do not send to any server.
    _, hash_, path = text.partition("#/")
    room, slash, event_id = path.removeprefix("room/").partition("?")[0].partition("/")
    return _address(unquote(room), unquote(event_id)) if hash_ and slash else None


def _address(room: str, event_id: str) -> EventAddress | None:
    # Checked after the decoding: what was percent-encoded could be anything.
    is_room = _is_id(_ROOM_ID, room) or _is_id(_ROOM_ALIAS, room)
    return EventAddress(event_id, room) if is_room and _is_id(_EVENT_ID, event_id) else None


def _is_id(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None and len(text.encode()) <= _ID_LIMIT_BYTES


def _quote(text: str) -> str:
    return quote(text, safe="!$:@")
