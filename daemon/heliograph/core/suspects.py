"""Finds the one delivery among several that cannot be shown because of a fault of ours, so that it alone is given up.

Deliveries that failed together are tried in halves, until a single one fails alone: it is tried three times in all, in
the end without the other messages that its popup quotes.
Test: test_of_any_number_those_that_fail_are_given_up_and_no_other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from heliograph.core.delivery import State
from heliograph.core.record import Agenda, Delivery

TRIES = 3
"""How often a delivery that fails alone is tried before it is given up."""
MOST = 1000
"""Deliveries remembered; the oldest are tried again with all others."""


@dataclass(slots=True)
class _Suspect:
    shown_with: int
    """How many were to be shown together when that failed last."""
    faults: int = 0
    """How often it failed alone."""


class Suspects:
    """The deliveries of one account that failed, alone or together with others."""

    def __init__(self) -> None:
        self._suspects: dict[str, _Suspect] = {}
        """The suspects by event id."""
        self._popups: dict[str, int] = {}
        """Faults in a row, by the popup's key."""

    def narrow(self, agenda: Agenda) -> tuple[Agenda, bool]:
        """The agenda, as far as it is to be shown now, and whether something of it waits for the next round.

        What failed alone may have failed for what its popup quotes, and is shown without that.
        """
        # What is shown already stays in the agenda, since popups quote it; only what is new is halved.
        pending = [each for each in agenda.deliveries if each.state is State.PENDING]
        chosen = self.choose(pending)
        ids = {each.event_id for each in chosen}
        bare = {each.room_id for each in chosen if self._has_failed_alone(each)}
        deliveries = tuple(
            each
            for each in agenda.deliveries
            if (each.event_id in ids if each.state is State.PENDING else each.room_id not in bare)
        )
        return replace(agenda, deliveries=deliveries), len(chosen) < len(pending)

    def choose(self, pending: Sequence[Delivery]) -> Sequence[Delivery]:
        """The deliveries to be shown now: first all that are under no suspicion, then a part of the others."""
        clear = [each for each in pending if each.event_id not in self._suspects]
        if clear or not pending:
            return clear
        first = self._suspects[pending[0].event_id]
        return pending[: max(1, first.shown_with // 2)]

    def note_fault(self, pending: Sequence[Delivery]) -> bool:
        """Notes that these could not be shown together. Returns whether to give up: there is only one, and it was tried
        often enough."""
        if len(pending) == 1:
            suspect = self._suspects.setdefault(pending[0].event_id, _Suspect(1))
            suspect.faults += 1
            if suspect.faults >= TRIES:
                del self._suspects[pending[0].event_id]
                return True
        for each in pending:
            self._suspects.setdefault(each.event_id, _Suspect(1)).shown_with = len(pending)
        # Dicts keep the order of insertion: the oldest goes first.
        while len(self._suspects) > MOST:
            del self._suspects[next(iter(self._suspects))]
        return False

    def note_popup_fault(self, key: str) -> bool:
        """A popup with nothing new in it could not be changed or closed. Returns whether to leave it as it is."""
        self._popups[key] = self._popups.get(key, 0) + 1
        is_enough = self._popups[key] >= TRIES
        if is_enough:
            del self._popups[key]
        return is_enough

    def clear(self, key: str, deliveries: Sequence[Delivery]) -> None:
        """The popup of this key was shown with these."""
        self._popups.pop(key, None)
        for each in deliveries:
            self._suspects.pop(each.event_id, None)

    def _has_failed_alone(self, delivery: Delivery) -> bool:
        suspect = self._suspects.get(delivery.event_id)
        return suspect is not None and suspect.faults > 0
