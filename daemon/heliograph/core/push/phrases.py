"""Words that push rules are put into: one line each, whatever strangers wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type

_TEXT = 80
_ROOM = 60
_VALUE = 120
_BEFORE_CUT = 4_000


@value_type
class Names:
    """Who is asking, and the names of the rooms that rules name by their ids."""

    me: str = ""
    rooms: Mapping[str, str] = field(default_factory=dict)

    def room(self, room_id: str) -> str:
        """The room's name and id, or only the id."""
        name = clean_line(self.rooms.get(room_id, ""), _ROOM)
        return f"{name} ({plain(room_id)})" if name else plain(room_id)

    def user(self, user_id: str) -> str:
        return "you" if user_id == self.me else plain(user_id)


def plain(text: str) -> str:
    """The text on one line, cut to 80 characters."""
    return clean_line(text, _TEXT)


def quoted(text: str) -> str:
    return f"“{plain(text)}”"


def compact(value: Any) -> str:
    """What a rule asks for, as JSON on one line, cut to 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError):
        text = "too deep to be shown"
    return plain(text)


def shown(value: Any) -> str:
    """What an event says, as JSON on one line, cut to 120 characters."""
    # Cut before it is written as JSON: a stranger's text may have megabytes, and a line shows a hundred characters.
    if isinstance(value, str):
        value = value[:_BEFORE_CUT]
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = "too large to be shown"
    return clean_line(text, _VALUE)
