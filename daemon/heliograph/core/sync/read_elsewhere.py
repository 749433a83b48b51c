"""Takes back what the user read on another device, by the receipts, own messages and counts of a sync.

What counts as read is decided in `core.reading`; see docs/reading.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from heliograph.core.events import JoinedRoom, ServerNotification, Sync
from heliograph.core.ids import EventKey
from heliograph.core.reading import MAIN, read_by
from heliograph.core.record import Delivery, LockedEvent
from heliograph.core.sync.collected import Collected
from heliograph.core.sync.invites import is_invite_id
from heliograph.core.sync.order import ids_in, places_in
from heliograph.core.sync.reading import READ, candidates_of, counts_in, marks_in
from heliograph.core.sync.rooms import LatestRooms
from heliograph.core.sync.situation import Situation


class ReadElsewhere:
    """Adds to `collected` what was read, room by room."""

    def __init__(self, sync: Sync, situation: Situation, collected: Collected, rooms: LatestRooms) -> None:
        self._joined = sync.joined
        self._situation = situation
        self._collected = collected
        self._rooms = rooms

    def take(self, room: JoinedRoom) -> None:
        """Takes what this room of the sync tells, after its timeline was judged."""
        collected, situation = self._collected, self._situation
        before = [each for each in collected.open_in(room.room_id) if not is_invite_id(each.event_id)]
        here = [each for each in collected.deliveries.values() if each.room_id == room.room_id]
        locked = collected.locked_in(room.room_id)
        candidates = candidates_of((*before, *here, *locked), self._countable(room, (*before, *here), locked))
        marks, places = marks_in(room, situation.me, situation.untold), places_in(room, situation)
        read = read_by(marks, candidates, places, counts_in(room, situation.account))
        collected.unlock([each.event_id for each in locked if each.event_id in read])
        collected.withdraw([each for each in before if each.event_id in read], READ)
        for delivery in here:
            if delivery.event_id in read:
                collected.silence(delivery.event_id, READ)

    def _countable(
        self, room: JoinedRoom, deliveries: Iterable[Delivery], locked: Iterable[LockedEvent]
    ) -> set[EventKey]:
        """Ids of those deliveries that the homeserver could judge, before it counted what is unread."""
        facts = self._rooms.facts(room.room_id)
        if facts.is_encrypted or not facts.is_complete:
            return set()
        # What no timeline has had may have come after the count: a list may be ahead of its sync, which Synapse may
        # answer from a cache.
        placed = self._situation.places.keys() | set(ids_in(room))
        return {each.event_id for each in deliveries} & placed - {each.event_id for each in locked}

    def is_listed(self, item: ServerNotification) -> bool:
        """Returns True if the homeserver's list says that this is read, and nothing speaks against it.

        Synapse says so of whatever stands above any one receipt in the room, of whichever thread. So what is unread in
        its own thread by the homeserver's count is not read yet, or the sync has the receipt that reads it.
        Test: test_what_is_listed_as_read_and_is_unread_in_its_thread_rings.
        """
        room = next((each for each in self._joined if each.room_id == item.event.room_id), None)
        if room is None or not item.is_read:
            return item.is_read
        return not counts_in(room, self._situation.account).of(item.event.thread_root or MAIN)
