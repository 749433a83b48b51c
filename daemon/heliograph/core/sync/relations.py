"""What an event does to earlier ones: a redaction withdraws, an edit rewords or takes the place of what it edits, an
answer or a hang-up ends a call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from heliograph.core.events import Event, Malformed
from heliograph.core.ids import EventId, RoomId
from heliograph.core.record import Delivery, Edit, Rewrite, Withdrawal
from heliograph.core.room import RoomFacts
from heliograph.core.sync.calls import ENDING_TYPES, Ending, ending_of, miss
from heliograph.core.sync.collected import Collected
from heliograph.core.sync.composing import Composer
from heliograph.core.sync.judging import DELETED, Judge
from heliograph.core.sync.situation import Situation
from heliograph.core.sync.takebacks import Takebacks

EDITED = "an edit of it rings in its place"


class Relations:
    """Adds to `collected` what events do to the deliveries of earlier ones."""

    def __init__(self, situation: Situation, collected: Collected, judge: Judge, composer: Composer) -> None:
        self._me = situation.me
        self._clear = situation.clear
        self._collected = collected
        self._judge = judge
        self._composer = composer
        self._takebacks = Takebacks(collected, situation.me)

    def take(self, event: Event, facts: RoomFacts, later: Iterable[Event | Malformed] = ()) -> None:
        """Takes an event of a room with these facts, whether it rings itself or not.

        `later`: what the room's timeline has after it. In direct mode that may be delivered already, by the
        homeserver's list, and neither a removal nor the end of a call concerns it.
        """
        # An encrypted redaction is none: no homeserver checked whether its sender may redact.
        if event.redacts is not None and event.event_id not in self._clear:
            self._redact(event.room_id, event.redacts)
        elif event.replaces is not None and event.type == "m.room.message":
            self._edit(event, facts)
        elif event.type in ENDING_TYPES:
            self._end_calls(event, later)
        elif event.type == "m.room.member" and event.state_key is not None:
            self._takebacks.redact_all(event, facts, later)

    def _redact(self, room_id: RoomId, event_id: EventId) -> None:
        self._collected.unlock([event_id])
        # Also of an event that is not known to be open: the ledger passes over what does not fit.
        self._collected.changes.append(Withdrawal(event_id, DELETED))
        if event_id in self._collected.deliveries:
            self._collected.silence(event_id, DELETED)
        # Clients show no edit of a message that is gone.
        for version in self._collected.versions(room_id, event_id):
            if version.event_id != event_id:
                self._collected.take_back(version, DELETED)

    def _edit(self, event: Event, facts: RoomFacts) -> None:
        assert event.replaces is not None
        # Only its author may edit a message; servers pass on other people's edits, which clients have to ignore.
        versions = [
            each
            for each in self._collected.versions(event.room_id, event.replaces)
            if each.sender == event.sender and each.event_id != event.event_id
        ]
        if not versions or self._judge.is_hidden(event) or self._judge.is_ignored(event):
            return
        if self._collected.rings(event.event_id):
            self._collected.unlock([event.replaces])
            for version in versions:
                self._collected.take_back(version, EDITED)
            return
        words = self._composer.word_edit(event, facts)
        if words is not None:
            self._collected.changes += [Edit(each.event_id, words.text, words.markup) for each in versions]

    def _end_calls(self, event: Event, later: Iterable[Event | Malformed]) -> None:
        spared = {each.event_id for each in later}
        deliveries = self._collected.deliveries
        for call in (*self._collected.open_in(event.room_id), *deliveries.values()):
            if call.event_id in spared:
                continue
            ending = ending_of(event, call, self._me) if call.room_id == event.room_id else None
            if ending is Ending.MISSED:
                self._miss(call)
            # A call of this very sync is on no screen yet, so there is nothing to withdraw: it never rings.
            elif ending is not None:
                self._collected.take_back(call, ending.value)

    def _miss(self, call: Delivery) -> None:
        assert call.content is not None
        missed = miss(call.content)
        if self._collected.deliveries.get(call.event_id) is call:
            self._collected.deliveries[call.event_id] = replace(call, content=missed)
        else:
            self._collected.changes.append(Rewrite(call.event_id, missed))
