"""Deliveries that could not be shown: tried again later, or given up with a reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from heliograph.core.delivery import Move, State, retry_delay
from heliograph.core.popups.arrange import Fault
from heliograph.core.popups.schedule import LEAST_WAIT_S, LONGEST_WAIT_S, Schedule
from heliograph.core.record import Agenda, Delivery
from heliograph.core.suspects import Suspects
from heliograph.core.text.clean import count_things
from heliograph.loops.delivery.outcomes import Outcomes, settle_shown
from heliograph.ports.ledger import Settlement

log = logging.getLogger(__name__)


class Retries:
    """The retries of one account. `tell` shows a notice: its title, and what to do. `clock` gives milliseconds since
    1970, `jitter` numbers in [0, 1)."""

    def __init__(
        self,
        outcomes: Outcomes,
        schedule: Schedule,
        tell: Callable[[str, str], None],
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
    ) -> None:
        self._outcomes = outcomes
        self._schedule = schedule
        self._tell = tell
        self._clock = clock
        self._jitter = jitter
        self._suspects = Suspects()

    def narrow(self, agenda: Agenda) -> tuple[Agenda, bool]:
        """The agenda without those deliveries that wait their turn for a fault of ours, and whether there are such."""
        return self._suspects.narrow(agenda)

    def clear(self, key: str, deliveries: Sequence[Delivery]) -> None:
        """Notes that these deliveries were shown in the popup of this key: they find no fault."""
        self._suspects.clear(key, deliveries)

    def put_off(self, deliveries: Sequence[Delivery], after_s: float | None, why: str) -> None:
        """Tries the new ones among these again after `after_s` seconds; None: later after each failure."""
        pending = [each for each in deliveries if each.state is State.PENDING]
        if not pending:
            # Only the words of a popup on screen wait, and no delivery carries a time for these.
            self._schedule.note_retry()
            return
        # They were shown in one popup and failed together, so they
        # wait together: the one that failed most says how long.
        attempts = max(each.attempts for each in pending) + 1
        delay_s = retry_delay(attempts, self._jitter()) if after_s is None else after_s
        due_ms = self._clock() + int(1000 * min(max(delay_s, LEAST_WAIT_S), LONGEST_WAIT_S))
        self._schedule.note_also_due(due_ms)
        log.info("%s: %s", count_things(len(pending), "delivery waits", "deliveries wait"), why)
        self._outcomes.note(*(Settlement(each.event_id, Move.FAILED, due_ms, why) for each in pending))

    def take_fault(self, fault: Fault) -> None:
        """Tries the new deliveries of this popup again, fewer of them at a time, until the one that finds a fault of
        ours is alone and is given up. What is on screen stays as it is.

        Test: test_a_message_that_cannot_be_shown_is_given_up_alone_with_a_reason_and_a_notice.
        """
        log.error("Unexpected fault in the notification of %s", fault.key, exc_info=fault.error)
        pending = [each for each in fault.deliveries if each.state is State.PENDING]
        why = f"a fault of Heliograph's own ({type(fault.error).__name__})"
        if not pending and self._suspects.note_popup_fault(fault.key):
            self._leave(fault)
        elif pending and self._suspects.note_fault(pending):
            self._outcomes.note(Settlement(pending[0].event_id, Move.GAVE_UP, why=why))
            self._tell(
                "A message could not be shown",
                f"Heliograph has a fault. Look into your Matrix client, and for the reason at: heliograph explain "
                f"{pending[0].event_id}",
            )
        else:
            self.put_off(fault.deliveries, None, why)

    def _leave(self, fault: Fault) -> None:
        if fault.record is not None and fault.deliveries:
            self._outcomes.note(*map(settle_shown, fault.deliveries), shown=replace(fault.record, is_stale=False))
        else:
            # The ledger has settled its deliveries already, and the user can close the popup.
            self._outcomes.note(closed=fault.key)
