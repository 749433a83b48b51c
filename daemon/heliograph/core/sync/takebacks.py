"""Takes back what rang: the user left its room, or joined it again, or the one in its place, or ignored its sender."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from heliograph.core.events import Event, Malformed
from heliograph.core.ids import RoomId, event_key
from heliograph.core.push.levels import level_to_redact, sender_level
from heliograph.core.record import Delivery, LockedEvent
from heliograph.core.room import RoomFacts
from heliograph.core.sync.collected import Collected
from heliograph.core.sync.judging import DELETED, IGNORED

LEFT = "left the room"
MOVED = "you are in the room that took its place"
_REDACTS_ALL = ("redact_events", "org.matrix.msc4293.redact_events")


class Takebacks:
    """Adds to `collected` what becomes of earlier deliveries, and of this sync's."""

    def __init__(self, collected: Collected, me: str) -> None:
        self._collected = collected
        self._me = me

    def leave(self, room_id: RoomId) -> None:
        """What was open in a room that was left, even if the user is back: none of that is theirs to read again."""
        self._collected.withdraw(self._collected.open_in(room_id), LEFT)
        self._collected.unlock([each.event_id for each in self._collected.waiting_in(room_id)])

    def ignore(self, users: Collection[str]) -> None:
        """What these users wrote, and their invites, in every room."""
        self._take(self._collected.all_open(), self._collected.all_waiting(), lambda sender: sender in users, IGNORED)

    def redact_all(self, event: Event, facts: RoomFacts, later: Iterable[Event | Malformed] = ()) -> None:
        """What the user of this member event wrote, if that removes it all with them (MSC4293). `later`: what the
        timeline has after it, which the user wrote after coming back."""
        is_removal = event.content.get("membership") in ("ban", "leave") and event.sender != event.state_key
        if not is_removal or not any(event.content.get(name) is True for name in _REDACTS_ALL):
            return
        context = facts.context(self._me)
        # Homeservers let whoever may ban say so, also without the power to redact.
        level = sender_level(event.sender, context)
        if level is None or level < level_to_redact(context):
            return
        user_id, room_id = event.state_key, event.room_id
        self._take(
            self._collected.open_in(room_id),
            self._collected.waiting_in(room_id),
            lambda sender: sender == user_id,
            DELETED,
        )
        spared = {each.event_id for each in later}
        for delivery in [each for each in self._collected.deliveries.values() if each.room_id == room_id]:
            if delivery.sender == user_id and delivery.event_id not in spared:
                self._collected.silence(delivery.event_id, DELETED)

    def move(self, old: RoomFacts, new: RoomId) -> None:
        """The news that a room was moved, once the user is in the new one. Only the old room's word counts, since any
        room may claim to take the place of another."""
        if old.tombstone is None or old.successor != new:
            return
        delivery = self._collected.find(old.room_id, event_key(old.tombstone))
        if delivery is not None:
            self._collected.take_back(delivery, MOVED)

    def _take(
        self,
        deliveries: Collection[Delivery],
        waiting: Collection[LockedEvent],
        is_meant: Callable[[str], bool],
        why: str,
    ) -> None:
        self._collected.withdraw([each for each in deliveries if is_meant(each.sender)], why)
        self._collected.unlock([each.event_id for each in waiting if is_meant(each.event.sender)])
