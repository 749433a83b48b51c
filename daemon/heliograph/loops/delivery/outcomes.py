"""Keeps what became of deliveries on screen, in order, until the ledger has written it down.

An outcome that the disk does not take stays in memory, and nothing more is shown meanwhile: the same popup is never
shown twice because of a full disk. Test: test_while_the_disk_is_full_what_was_shown_is_not_shown_again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from heliograph.core.delivery import Move, State
from heliograph.core.record import Delivery, PopupRecord
from heliograph.core.suspects import TRIES
from heliograph.core.text.clean import count_things
from heliograph.core.value_type import value_type
from heliograph.errors import StorageError, Unstorable, UserError
from heliograph.ports.ledger import Ledger, Settlement

log = logging.getLogger(__name__)


@value_type
class _Outcome:
    settlements: tuple[Settlement, ...]
    shown: PopupRecord | None
    closed: str | None
    rang: tuple[Delivery, ...]


class Outcomes:
    """The outcomes of one account. `tell` shows a notice of our own: its title, and what to do."""

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
        """Notes what is to be written down together: these moves, and the popup that was shown, or the key of one that
        is gone. `rang` are the deliveries that were shown for the first time."""
        self._unwritten.append(_Outcome(settlements, shown, closed, tuple(rang)))

    def take_rang(self) -> list[Delivery]:
        """The deliveries that were shown for the first time, and are written down since the last call; in order."""
        rang, self._rang = self._rang, []
        return rang

    def is_lost(self, delivery: Delivery) -> bool:
        """Whether the delivery's outcome was given up: the ledger does not know that it was shown, so it must not be
        shown again until the daemon ends."""
        return delivery.event_id in self._lost

    async def write_down(self) -> None:
        """Writes every outcome to the ledger, in order.

        Raises StorageError and UserError if the ledger does not take one, which is then the first of the next call. A
        fault of ours is raised as it is; after three of them the outcome is given up.
        Test: test_what_cannot_be_written_down_is_not_shown_for_ever_and_holds_up_no_other.
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
            # Only what is written down has rung: hooks are not told twice after a crash.
            self._rang.extend(outcome.rang)

    def _give_up(self, outcome: _Outcome, error: Exception) -> None:
        what = count_things(len(outcome.settlements), "message") if outcome.settlements else "a popup"
        log.error("What became of %s cannot be kept", what, exc_info=error)
        self._lost.update(each.event_id for each in outcome.settlements)
        self._tell(
            "Some messages may be shown twice",
            "Heliograph has a fault: what became of them cannot be kept. What went wrong is in the log.",
        )


def settle_shown(delivery: Delivery) -> Settlement:
    """The delivery is on screen, for the first time or in other words."""
    return Settlement(delivery.event_id, Move.SHOWN if delivery.state is State.PENDING else Move.REPLACED)


def settle_closed(delivery: Delivery, why: str) -> Settlement:
    """The delivery's popup is gone. A message stays unread; what is of no room has nothing left to read."""
    return Settlement(delivery.event_id, Move.DISMISSED if delivery.room_id else Move.OPENED, why=why)


def settle_refused(delivery: Delivery, why: str) -> Settlement:
    """The desktop refuses the delivery for good; one that is on screen already stays as it is."""
    is_new = delivery.state is State.PENDING
    return Settlement(delivery.event_id, Move.GAVE_UP, why=why) if is_new else settle_shown(delivery)
