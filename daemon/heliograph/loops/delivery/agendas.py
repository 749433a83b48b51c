"""From the ledger to the next steps on screen: what is due, what is held back, and how it becomes popups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from heliograph.core.delivery import State
from heliograph.core.popups.arrange import PopupStep, arrange, is_summary, new_rooms
from heliograph.core.popups.bursts import BurstWindow
from heliograph.core.popups.profile import Layout
from heliograph.core.popups.quiet import Through
from heliograph.core.popups.schedule import LONGEST_WAIT_S, Schedule
from heliograph.core.record import Agenda
from heliograph.loops.delivery.outcomes import Outcomes
from heliograph.loops.delivery.settings import DeliverySettings
from heliograph.ports.ledger import Ledger

ALL_DUE_MS = 2**62
LARGE_COUNT = 200
"""Deliveries. More are arranged in a thread, so that the other accounts go on meanwhile."""


class Agendas:
    """The agendas of one account. `through` says what pops up in spite of quiet, or None while it is not quiet."""

    def __init__(
        self,
        ledger: Ledger,
        outcomes: Outcomes,
        schedule: Schedule,
        burst: BurstWindow,
        settings: DeliverySettings,
        through: Callable[[], Through | None],
    ) -> None:
        self._ledger = ledger
        self._outcomes = outcomes
        self._schedule = schedule
        self._burst = burst
        self._settings = settings
        self._through = through

    async def read(self, now_ms: int, *, with_all: bool) -> Agenda:
        """What the ledger has due now; `with_all`: also what was put off until later. The next is in the schedule.
        Raises StorageError and UserError.

        What is quiet is not due, and stays PENDING: it pops up afterwards unless it was read meanwhile.
        Test: test_in_quiet_only_what_passes_is_due.
        """
        until_ms = ALL_DUE_MS if with_all else now_ms
        # Beyond the longest wait nothing was ever put off: such a
        # time comes of a clock that was wrong then, and is due.
        # Test: test_a_clock_set_back_by_years_does_not_hold_up_a_retry.
        agenda = await self._ledger.agenda(until_ms, now_ms + int(1000 * LONGEST_WAIT_S), self._through())
        self._schedule.note_due(agenda.next_ms)
        kept = tuple(each for each in agenda.deliveries if not self._outcomes.is_lost(each))
        return replace(agenda, deliveries=kept)

    def hold_back(self, agenda: Agenda, now_ms: int, *, is_waiting: bool) -> Agenda:
        """The agenda without new deliveries while a burst is not over, or while `is_waiting`: these stay due. What is
        on screen already is still changed and closed. Test: test_no_burst_is_held_back_for_longer_than_two_seconds."""
        wait_ms = self._burst.wait_ms(now_ms)
        if not is_waiting and not wait_ms:
            return agenda
        # The new ones stay PENDING in the ledger, which has them due again in the next round.
        shown = tuple(each for each in agenda.deliveries if each.state is not State.PENDING)
        if not is_waiting and len(shown) < len(agenda.deliveries):
            self._schedule.note_burst(now_ms + wait_ms)
        return replace(agenda, deliveries=shown)

    async def arrange(self, agenda: Agenda, layout: Layout, *, is_locked: bool) -> tuple[list[PopupStep], Agenda]:
        """The steps to take on screen, whose server shows lines so, and the agenda that they are about. Raises
        StorageError and UserError."""
        agenda = await self._with_summary(agenda)
        plan = partial(
            arrange,
            agenda.deliveries,
            agenda.popups,
            me=self._settings.user_id,
            max_rooms=self._settings.max_rooms,
            level=partial(self._settings.privacy.level_of, is_locked=is_locked),
            layout=layout,
        )
        steps = plan() if len(agenda.deliveries) < LARGE_COUNT else await asyncio.to_thread(plan)
        return steps, agenda

    async def _with_summary(self, agenda: Agenda) -> Agenda:
        """If this burst joins a summary popup, the deliveries already in that popup are added."""
        if new_rooms(agenda.deliveries) <= self._settings.max_rooms:
            return agenda
        key = next((record.key for record in agenda.popups if is_summary(record.key)), None)
        known = {each.event_id for each in agenda.deliveries}
        shown = [] if key is None else await self._ledger.shown_in(key)
        return replace(agenda, deliveries=(*(each for each in shown if each.event_id not in known), *agenda.deliveries))
