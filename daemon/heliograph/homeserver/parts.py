"""Decodes an answer part by part: a malformed part is noted, and the others are read all the same.

Tests: test_a_malformed_section_leaves_the_others, test_a_key_that_is_no_room_id_is_left_out.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from heliograph.core.events import Malformed
from heliograph.core.ids import RoomId, is_room_id
from heliograph.core.text.clean import count_things
from heliograph.homeserver.event import BROKEN

T = TypeVar("T")

ABSENT = msgspec.Raw(b"null")
"""Stands for a part that the answer does not have. Compared by identity: a part may also be a real null."""


class _Events(msgspec.Struct):
    events: list[msgspec.Raw] | None = None


def decoder(type_: type[T]) -> msgspec.json.Decoder[T | None]:
    """A decoder of parts that are of this type, or null."""
    return msgspec.json.Decoder(type_ | None)


_events = decoder(_Events)
_by_room = decoder(dict[str, msgspec.Raw])


class PartialDecoder:
    """Decodes the parts of one answer, and collects those that were malformed."""

    def __init__(self) -> None:
        self.malformed: list[Malformed] = []

    def read(
        self, decode: msgspec.json.Decoder[T | None], raw: msgspec.Raw, where: str, room_id: RoomId | None = None
    ) -> T | None:
        """The part as a value; None: it is absent or malformed."""
        if raw is ABSENT:
            return None
        try:
            return decode.decode(raw)
        except BROKEN as error:
            self.malformed.append(Malformed(where, str(error)[:200], room_id))
            return None

    def events(self, raw: msgspec.Raw, where: str, room_id: RoomId | None = None) -> list[msgspec.Raw]:
        """The list `events` of a part, each event still undecoded."""
        part = self.read(_events, raw, where, room_id)
        return part.events or [] if part else []

    def by_room(self, raw: msgspec.Raw, where: str) -> dict[RoomId, msgspec.Raw]:
        """The entries of a part by room id. Entries under other keys are left out, and noted as malformed."""
        rooms = self.read(_by_room, raw, where) or {}
        good = {room_id: part for room_id, part in rooms.items() if is_room_id(room_id)}
        if len(good) < len(rooms):
            odd = count_things(len(rooms) - len(good), "key is no room id", "keys are no room ids")
            self.malformed.append(Malformed(where, odd))
        return good
