"""Ends calls that have rung for as long as they do: from then on each popup says that the call was missed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from heliograph.core.ids import EventKey
from heliograph.core.record import Change, Content, Delivery, Rewrite, Withdrawal
from heliograph.core.suspects import TRIES
from heliograph.core.sync.calls import miss
from heliograph.errors import StorageError, Unstorable, UserError
from heliograph.ports.ledger import Ledger

log = logging.getLogger(__name__)


class Calls:
    """The calls of one account. `tell` shows a notice of our own: its title, and what to do."""

    def __init__(self, ledger: Ledger, tell: Callable[[str, str], None]) -> None:
        self._ledger = ledger
        self._tell = tell
        self._faults: dict[EventKey, int] = {}
        """By event id: how often a fault of ours kept that call from being ended."""
        self._given_up: set[EventKey] = set()
        """Calls that cannot even be taken away: they stay on screen as they are."""

    def next_end_ms(self, ringing: Sequence[Delivery]) -> int | None:
        """When the first of these calls stops ringing, in ms since 1970; None: none of them does."""
        ends = [content.rings_until_ms for _, content in self._living(ringing)]
        return min(ends, default=None)

    async def end(self, ringing: Sequence[Delivery], now_ms: int) -> bool:
        """Ends the calls whose time is over; returns whether there were such, so that the agenda has changed.

        A call that cannot be ended for a fault of ours is tried three times, then taken away with the reason.
        Test: test_a_call_that_cannot_be_ended_is_given_up_alone_with_a_reason_and_a_notice.
        Raises StorageError and UserError.
        """
        over = [(call, content) for call, content in self._living(ringing) if content.rings_until_ms <= now_ms]
        ended = [await self._end_one(call, content) for call, content in over]
        return any(ended)

    def _living(self, ringing: Sequence[Delivery]) -> list[tuple[Delivery, Content]]:
        return [(each, each.content) for each in ringing if each.content and each.event_id not in self._given_up]

    async def _end_one(self, call: Delivery, content: Content) -> bool:
        """Returns whether the call was changed in the ledger."""
        try:
            await self._change(Rewrite(call.event_id, miss(content)))
        except _Fault as fault:
            log.error("Unexpected fault in ending the call %s", call.event_id, exc_info=fault.error)
            self._faults[call.event_id] = self._faults.get(call.event_id, 0) + 1
            return self._faults[call.event_id] >= TRIES and await self._give_up(call, fault.error)
        self._faults.pop(call.event_id, None)
        return True

    async def _give_up(self, call: Delivery, error: Exception) -> bool:
        del self._faults[call.event_id]
        self._tell(
            "A call could not be ended here",
            "Heliograph has a fault: what it showed of the call is taken away. Look into your Matrix client, and for "
            f"the reason at: heliograph explain {call.event_id}",
        )
        why = f"its end finds a fault of Heliograph's own ({type(error).__name__})"
        try:
            await self._change(Withdrawal(call.event_id, why))
        except _Fault as fault:
            log.error("The call %s stays on screen", call.event_id, exc_info=fault.error)
            self._given_up.add(call.event_id)
            return False
        return True

    async def _change(self, change: Change) -> None:
        try:
            await self._ledger.change([change])
        except Exception as error:
            # The disk may take it later, so the whole round waits; a value that cannot be stored never will be.
            if isinstance(error, StorageError | UserError) and not isinstance(error, Unstorable):
                raise
            raise _Fault(error) from error


class _Fault(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
