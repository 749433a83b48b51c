"""What became of deliveries on screen, in order, until the ledger has it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from heliograph.core.delivery import Move, State
from heliograph.core.record import Delivery, PopupRecord
from heliograph.core.suspects import TRIES
from heliograph.core.text.clean import count_things
from heliograph.errors import StorageError, Unstorable, UserError
from heliograph.ports.ledger import Ledger, Settlement

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    settlements: tuple[Settlement, ...]
    shown: PopupRecord | None
    closed: str | None
    rang: tuple[Delivery, ...]


class Outcomes:
    """Those of one account. `tell` shows a notice of our own: its title, and what to do."""

    def __init__(self, ledger: Ledger, tell: Callable[[str, str], None]) -> None:
        self._ledger = ledger
        self._tell = tell
        self._unwritten: deque[_Outcome] = deque()
        self._faults = 0
        """How often the first of these failed for a fault of ours."""
        self._lost: set[str] = set()
        self._rang: list[Delivery] = []

    def note(
        self,
        *settlements: Settlement,
        shown: PopupRecord | None = None,
        closed: str | None = None,
        rang: Sequence[Delivery] = (),
    ) -> None:
        """These moves, and a popup that was shown, or the key of one that is gone. `rang` are the deliveries that were
        shown for the first time."""
        self._unwritten.append(_Outcome(settlements, shown, closed, tuple(rang)))

    def take_rang(self) -> list[Delivery]:
        """What rang and was written down since the last time, in order."""
        rang, self._rang = self._rang, []
        return rang

    def is_lost(self, delivery: Delivery) -> bool:
        """Whether the ledger goes on to have it otherwise than the screen: until the daemon ends, it is not shown."""
        return delivery.event_id in self._lost

    async def write_down(self) -> None:
        """In order, each until the disk takes it: what is on screen must not be shown again, nor opened again.

        Raises StorageError and UserError, and after a fault of our own whatever that was; after a few of them the
        outcome is given up.
        """
        while self._unwritten:
            outcome = self._unwritten[0]
            try:
                await self._ledger.settle(outcome.settlements, shown=outcome.shown, closed=outcome.closed)
            except Exception as error:
                if isinstance(error, StorageError | UserError) and not isinstance(error, Unstorable):
                    raise
                self._faults += 1
                if self._faults < TRIES:
                    raise
                self._give_up(outcome, error)
            self._faults = 0
            self._unwritten.popleft()
            self._rang.extend(outcome.rang)

    def _give_up(self, outcome: _Outcome, error: Exception) -> None:
        what = count_things(len(outcome.settlements), "message")
        log.error("What became of %s cannot be kept", what, exc_info=error)
        self._lost.update(each.event_id for each in outcome.settlements)
        self._tell(
            "Some messages may be shown twice",
            "Heliograph has a fault: what became of them cannot be kept. What went wrong is in the log.",
        )


def settle_shown(delivery: Delivery) -> Settlement:
    """It is on screen, for the first time or in other words."""
    return Settlement(delivery.event_id, Move.SHOWN if delivery.state is State.PENDING else Move.REPLACED)


def settle_closed(delivery: Delivery, why: str) -> Settlement:
    """Its popup is gone; what is no message of a room has nothing left to read."""
    return Settlement(delivery.event_id, Move.DISMISSED if delivery.room_id else Move.OPENED, why=why)


def settle_refused(delivery: Delivery, why: str) -> Settlement:
    """It cannot be shown; one that is on screen stays as it is."""
    is_new = delivery.state is State.PENDING
    return Settlement(delivery.event_id, Move.GAVE_UP, why=why) if is_new else settle_shown(delivery)
