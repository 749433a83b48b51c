"""Which delivery of several it is that cannot be shown for a fault of ours, so that it alone is given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.core.record import Delivery

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
    """Those of one account. What failed together is tried in halves, until what fails is a single delivery."""

    def __init__(self) -> None:
        self._suspects: dict[str, _Suspect] = {}

    def choose(self, pending: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those to be shown now: first all that are under no suspicion; the others wait for the next round."""
        clear = [each for each in pending if each.event_id not in self._suspects]
        if clear or not pending:
            return clear
        first = self._suspects[pending[0].event_id]
        return pending[: max(1, first.shown_with // 2)]

    def is_to_stand_alone(self, delivery: Delivery) -> bool:
        """Whether it failed alone, but for what its popup quotes: so it is tried without that."""
        suspect = self._suspects.get(delivery.event_id)
        return suspect is not None and suspect.faults > 0

    def note_fault(self, pending: Sequence[Delivery]) -> bool:
        """These could not be shown together. Whether to give up: it is one alone, and was tried often enough."""
        if len(pending) == 1:
            suspect = self._suspects.setdefault(pending[0].event_id, _Suspect(1))
            suspect.faults += 1
            if suspect.faults >= TRIES:
                del self._suspects[pending[0].event_id]
                return True
        for each in pending:
            self._suspects.setdefault(each.event_id, _Suspect(1)).shown_with = len(pending)
        while len(self._suspects) > MOST:
            del self._suspects[next(iter(self._suspects))]
        return False

    def clear(self, deliveries: Sequence[Delivery]) -> None:
        """These have been shown."""
        for each in deliveries:
            self._suspects.pop(each.event_id, None)
