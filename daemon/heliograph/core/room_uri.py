"""Addresses of rooms and events for the programs that open them. Only from ids that are what the specification says.

Sources: Client-Server API appendices, "Matrix URI scheme" and "matrix.to navigation"; element-desktop reads
only the fragment of its `element:` address.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import quote

_ID_LIMIT_BYTES = 255
_ROOM_ID = re.compile(r"![^\x00-\x20\x7f:\ud800-\udfff]+(:[0-9A-Za-z.\-:\[\]]+)?")
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


def _is_id(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None and len(text.encode()) <= _ID_LIMIT_BYTES


def _quote(text: str) -> str:
    return quote(text, safe="!$:@")
