"""The records of the rooms that a sync touches, as they change while it is planned."""

from __future__ import annotations

from heliograph.core.ids import RoomId
from heliograph.core.record import RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.core.sync.situation import Situation


class LatestRooms:
    """The latest record of each room: the ledger's, until an event of the sync changes what is known."""

    def __init__(self, situation: Situation) -> None:
        self._before = situation.rooms
        self._fresh = situation.fresh_rooms
        self._records = dict(situation.rooms)

    def record(self, room_id: RoomId) -> RoomRecord:
        """A blank record if nothing is known of the room."""
        return self._records.get(room_id) or RoomRecord(RoomFacts(room_id))

    def facts(self, room_id: RoomId) -> RoomFacts:
        """The facts in the room's record."""
        return self.record(room_id).facts

    def update(self, record: RoomRecord) -> None:
        """Puts this record in place of the room's last one."""
        self._records[record.facts.room_id] = record

    def leave(self, room_id: RoomId) -> None:
        """Forgets all facts of a room that the user left. A later invite to the room counts as another one."""
        if room_id in self._records:
            self.update(RoomRecord(RoomFacts(room_id), self._records[room_id].invite_serial + 1))

    def changed(self) -> tuple[RoomRecord, ...]:
        """The records that the ledger lacks, sorted by room id: those that changed, and those that the homeserver was
        asked for just now."""
        return tuple(
            record
            for room_id, record in sorted(self._records.items())
            if room_id in self._fresh or record != self._before.get(room_id)
        )
