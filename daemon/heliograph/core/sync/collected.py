"""Collects what a plan comes to: judgements, deliveries, and changes of what rang before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256

from heliograph.core.events import AccountData, Event, JoinedRoom, Malformed
from heliograph.core.ids import EventKey, OwnKey, RoomId, own_key
from heliograph.core.record import (
    Change,
    Content,
    Decision,
    Delivery,
    Judged,
    LockedEvent,
    Plan,
    RoomRecord,
    Withdrawal,
)
from heliograph.core.sync.order import ids_in, in_order
from heliograph.core.sync.situation import Situation


class Collected:
    """What one run of `plan` has come to so far, beside the deliveries that were open before it."""

    def __init__(self, situation: Situation) -> None:
        self.judged: dict[EventKey, Judged] = {}
        self.rejudged: dict[EventKey, Judged] = {}
        self.deliveries: dict[EventKey, Delivery] = {}
        self.locked: dict[EventKey, LockedEvent] = {}
        self.changes: list[Change] = []
        self._unlocked: list[EventKey] = list(situation.hopeless)
        self._waiting = situation.waiting
        self._open: dict[RoomId | OwnKey, list[Delivery]] = {}
        for delivery in situation.open_deliveries:
            self._open.setdefault(delivery.room_id, []).append(delivery)

    # What there is

    def open_in(self, room_id: RoomId) -> Sequence[Delivery]:
        """The room's deliveries from before this plan, in order of position."""
        return self._open.get(room_id, ())

    def all_open(self) -> list[Delivery]:
        """The deliveries of all rooms from before this plan."""
        return [each for deliveries in self._open.values() for each in deliveries]

    def all_waiting(self) -> Sequence[LockedEvent]:
        """The events of all rooms from before this plan whose keys have not come."""
        return self._waiting

    def waiting_in(self, room_id: RoomId) -> list[LockedEvent]:
        """The room's events from before this plan whose keys have not come."""
        return [each for each in self._waiting if each.event.room_id == room_id]

    def locked_in(self, room_id: RoomId) -> list[LockedEvent]:
        """All events of the room whose keys have not come, this plan's last."""
        return [*self.waiting_in(room_id), *(each for each in self.locked.values() if each.event.room_id == room_id)]

    def find(self, room_id: RoomId, event_id: EventKey) -> Delivery | None:
        """The delivery of this event, whether it is this plan's or was open before."""
        known = (each for each in self.open_in(room_id) if each.event_id == event_id)
        return self.deliveries.get(event_id) or next(known, None)

    def versions(self, room_id: RoomId, event_id: EventKey) -> list[Delivery]:
        """The deliveries of this event and of its edits that ring by themselves."""
        here = (each for each in self.deliveries.values() if each.room_id == room_id)
        return [each for each in (*self.open_in(room_id), *here) if event_id in (each.event_id, each.edits)]

    def rings(self, event_id: EventKey) -> bool:
        """Returns True if the event rings by the judgement that counts."""
        judged = self.rejudged.get(event_id) or self.judged.get(event_id)
        return judged is not None and judged.decision is Decision.RING

    # What comes

    def judge(self, judged: Judged) -> bool:
        """Takes the first judgement of an event. Returns False, and changes nothing, if there was one before."""
        if judged.event_id in self.judged:
            return False
        self.judged[judged.event_id] = judged
        return True

    def note_malformed(self, malformed: Malformed) -> None:
        """Takes something that cannot be judged, under the event's own id if the fault is ours."""
        event_id, reason = malformed.event_id, malformed.why
        if not malformed.is_our_fault or event_id is None:
            # Ids in malformed events are strangers' words: another event may have the same one, and must ring.
            event_id, reason = _malformed_id(malformed), f"{malformed.where}: {malformed.why}"
        self.judge(Judged(event_id, malformed.room_id, Decision.MALFORMED, reason))

    def deliver(self, event: Event, content: Content, due_ms: int = 0) -> None:
        """Has this event ring, not before `due_ms` (milliseconds since 1970; 0: at once)."""
        self.deliveries[event.event_id] = Delivery(
            event_id=event.event_id,
            room_id=event.room_id,
            sender=event.sender,
            thread_root=event.thread_root,
            edits=event.replaces,
            content=content,
            due_ms=due_ms,
        )

    def unlock(self, event_ids: Collection[EventKey]) -> None:
        """Notes that these events need not be kept any longer until their keys come."""
        self._unlocked.extend(event_ids)

    # What goes

    def withdraw(self, deliveries: Collection[Delivery], why: str) -> None:
        """Takes back deliveries from before this plan."""
        self.changes.extend(Withdrawal(each.event_id, why) for each in deliveries)

    def silence(self, event_id: EventKey, why: str) -> None:
        """Takes back a delivery of this plan: the event is judged to be silent after all."""
        del self.deliveries[event_id]
        judged = self.judged if event_id in self.judged else self.rejudged
        judged[event_id] = replace(judged[event_id], decision=Decision.SILENT, reason=why)

    def take_back(self, delivery: Delivery, why: str) -> None:
        """Takes back a delivery, whether it is this plan's or was open before."""
        if self.deliveries.get(delivery.event_id) is delivery:
            self.silence(delivery.event_id, why)
        else:
            self.withdraw([delivery], why)

    # What comes of it

    def as_plan(
        self,
        next_batch: str,
        joined: Sequence[JoinedRoom],
        rooms: tuple[RoomRecord, ...],
        account_data: AccountData,
    ) -> Plan:
        """The plan of all that was collected, with the judgements in the order of the timelines in `joined`."""
        return Plan(
            next_batch=next_batch,
            judged=tuple(self.judged[event_id] for event_id in in_order(self.judged, joined)),
            deliveries=tuple(self.deliveries.values()),
            rejudged=tuple(self.rejudged.values()),
            changes=tuple(self.changes),
            rooms=rooms,
            account_data=account_data,
            locked=tuple(self.locked.values()),
            unlocked=tuple(self._unlocked),
            timelines=tuple(ids for room in joined if (ids := ids_in(room))),
        )


def _malformed_id(malformed: Malformed) -> OwnKey:
    text = f"{malformed.where}\0{malformed.room_id}\0{malformed.event_id}\0{malformed.why}"
    return own_key("malformed", sha256(text.encode(errors="replace")).hexdigest()[:32])
