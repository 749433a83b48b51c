"""The loop that brings due deliveries to the screen and records what became of them.

The ledger says what should be on screen, `core.popups.arrange` decides the steps to it, the screen takes them, and the
ledger gets the outcome of each. A kill between the notification server's answer and that commit shows this one
notification again: the only repetition there is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import DesktopSignal, DoNotDisturb, ServerChanged
from heliograph.core.outage import ABOUT_DISK, word_disk
from heliograph.core.popups.actions import ActionRequest
from heliograph.core.popups.arrange import PopupStep, as_fault
from heliograph.core.popups.bursts import BurstWindow, SoundGate
from heliograph.core.popups.privacy import Level
from heliograph.core.popups.quiet import Through
from heliograph.core.popups.schedule import Schedule
from heliograph.core.record import Delivery
from heliograph.errors import StorageError, UserError
from heliograph.loops.delivery.agendas import Agendas
from heliograph.loops.delivery.announcements import Announcements
from heliograph.loops.delivery.calls import Calls
from heliograph.loops.delivery.notices import AccountNotices
from heliograph.loops.delivery.outcomes import Outcomes
from heliograph.loops.delivery.retries import Retries
from heliograph.loops.delivery.rounds import Rounds
from heliograph.loops.delivery.screen import Screen
from heliograph.loops.delivery.settings import DeliverySettings
from heliograph.loops.delivery.signals import PopupSignals
from heliograph.ports.desktop import Desktop, Opener, Pictures
from heliograph.ports.ledger import Ledger
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

STORAGE_RETRY_S = 5.0

Audibility = Literal["ring", "silent", "wait"]
"""How new deliveries are shown: as the push rules want it, without sound, or not at all for now."""


class DeliveryLoop:
    """One account's loop. `clock` gives milliseconds since 1970, `jitter` numbers in [0, 1).

    `through` says what pops up in spite of quiet, or None while it is not quiet; all else stays PENDING until then.
    `on_change` is called after each round, since what is unread may have changed; `on_rang` with the deliveries that
    were shown for the first time; `on_request` with what the user wants done by a popup's button, and must return soon.
    Accounts that share a `gate` sound one at a time.
    """

    def __init__(
        self,
        ledger: Ledger,
        desktop: Desktop,
        opener: Opener,
        notices: AccountNotices,
        rounds: Rounds,
        settings: DeliverySettings,
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        through: Callable[[], Through | None] = lambda: None,
        on_change: Callable[[], None] = lambda: None,
        on_rang: Callable[[Sequence[Delivery]], None] = lambda _: None,
        on_request: Callable[[ActionRequest], None] = lambda _: None,
        pictures: Pictures | None = None,
        gate: SoundGate | None = None,
    ) -> None:
        self._ledger, self._desktop, self._notices = ledger, desktop, notices
        self._rounds, self._settings = rounds, settings
        self._clock, self._jitter = clock, jitter
        self._on_change = on_change
        self._announcements = Announcements(on_rang, settings.privacy)
        self._schedule, self._burst = Schedule(), BurstWindow(settings.max_rooms)
        self._calls = Calls(ledger, notices.tell)
        self._outcomes = outcomes = Outcomes(ledger, notices.tell)
        self._retries = retries = Retries(outcomes, self._schedule, notices.tell, clock=clock, jitter=jitter)
        self._signals = signals = PopupSignals(
            ledger, desktop, opener, notices, outcomes, clock=clock, on_request=on_request
        )
        self._agendas = Agendas(ledger, outcomes, self._schedule, self._burst, settings, through)
        self._screen = Screen(
            ledger, desktop, outcomes, signals, retries, self._burst, gate or SoundGate(), pictures, settings, clock
        )
        self._is_everything_due = False
        """Whether also what was put off is due: a new notification server may take what the one before refused."""
        self._is_locked = self._was_locked = False
        self._audibility: Audibility = "ring"
        self._trouble = ""
        """Why the disk does not take or give what it should; empty: it does."""

    # What others tell it

    def hush(self, how: Audibility) -> None:
        """Has new deliveries shown with this audibility from now on."""
        self._audibility = how
        self._rounds.wake()

    def gather(self, is_more_coming: bool) -> None:
        """While more is known to come, new deliveries are held back for a short time, and then are one burst."""
        if is_more_coming:
            self._burst.hold(self._clock())
        else:
            self._burst.release()
        self._rounds.wake()

    def set_locked(self, is_locked: bool) -> None:
        """While the session is locked others may see the screen."""
        self._is_locked = is_locked
        self._rounds.wake()

    def note_opened(self, room_id: RoomId) -> None:
        """The user opened or read this room by other means than its popup: nothing in it is unread any more."""
        self._signals.note_read(room_id, None)
        self._rounds.wake()

    def note_read(self, room_id: RoomId, event_id: EventId) -> None:
        """The user read this room up to that event."""
        self._signals.note_read(room_id, event_id)
        self._rounds.wake()

    def wake(self) -> None:
        """The ledger has something new."""
        self._rounds.wake()

    async def rest(self) -> None:
        """Returns when everything that is due has been tried, also what was gathered for a burst."""
        self._burst.end()
        self._rounds.wake()
        await self._rounds.all_done()

    def is_stuck(self, now_ms: int, longest_ms: int) -> bool:
        """Whether the round that is going on has not got on for longer than `longest_ms`."""
        return self._rounds.is_stuck(now_ms, longest_ms)

    def finish(self) -> None:
        """Ends `run` once the outcome that is under way is written down: else its popup would be shown again."""
        self._rounds.finish()

    def _take_signal(self, signal: DesktopSignal) -> None:
        match signal:
            case ServerChanged(server):
                # At once, while earlier signals may have to wait for the disk.
                self._screen.note_server(server)
                self._notices.forget_popups()
                self._signals.forget_gone()
            case DoNotDisturb():
                return
            case _:
                self._signals.take(signal)
        self._rounds.wake()

    # Its rounds

    async def run(self) -> None:
        """Runs until cancelled, or told to finish."""
        self._desktop.listen(self._take_signal)
        # After a crash what is due is still due, since the ledger has only what was done.
        await keep_running("deliveries", self._run, clock=self._clock, jitter=self._jitter)

    async def _run(self) -> None:
        while not self._rounds.is_finishing:
            try:
                with self._rounds.working():
                    await self._work()
            except (StorageError, UserError) as trouble:
                self._tell_trouble(trouble)
                delay_s: float | None = STORAGE_RETRY_S
            else:
                self._end_trouble()
                # Without a notification server nothing can be shown: the one that comes wakes the loop.
                delay_s = self._schedule.delay_s(self._clock()) if self._screen.is_there else None
            # After a round that failed, too: what is unread may have changed before the failure.
            self._on_change()
            await self._rounds.wait(delay_s)

    def _tell_trouble(self, trouble: StorageError | UserError) -> None:
        if self._trouble != str(trouble):
            log.warning("Deliveries wait for the disk: %s", trouble)
        # A UserError says that the ledger is damaged: the sync loop tells of it, and ends the account.
        if isinstance(trouble, StorageError) and not self._trouble:
            self._notices.tell(*word_disk(str(trouble)), about=ABOUT_DISK)
        self._trouble = str(trouble)

    def _end_trouble(self) -> None:
        if self._trouble:
            self._notices.withdraw(ABOUT_DISK)
        self._trouble = ""

    async def _work(self) -> None:
        self._schedule.begin_round()
        # Notices come first, since they need no ledger: one may tell that the disk is full.
        if self._screen.is_there and await self._notices.show():
            self._schedule.note_retry()
        # Before anything is read: the ledger must know what was shown, or it would name the same again as due.
        await self._write_down()
        await self._signals.handle(self._rounds.note_progress)
        # After the signals: those of the server before are about popups that `meet_server` forgets.
        self._is_everything_due |= await self._screen.meet_server()
        await self._meet_lock()
        if self._screen.is_there:
            await self._deliver()

    async def _write_down(self) -> None:
        await self._outcomes.write_down()
        await self._announcements.tell(self._outcomes.take_rang())

    async def _meet_lock(self) -> None:
        """Has every popup worded anew once the session is locked or unlocked, for it may have to say less, or more."""
        if self._is_locked == self._was_locked:
            return
        is_locked = self._is_locked
        if self._settings.privacy.locked is not Level.FULL:
            for record in await self._ledger.popups():
                # As outcomes, since one that the ledger refuses is given up alone.
                self._outcomes.note(shown=replace(record, is_stale=True))
        self._was_locked = is_locked
        await self._write_down()

    async def _deliver(self) -> None:
        now_ms = self._clock()
        agenda = await self._agendas.read(now_ms, with_all=self._is_everything_due)
        if (end_ms := self._calls.next_end_ms(agenda.ringing)) is not None:
            self._schedule.note_also_due(end_ms)
        if await self._calls.end(agenda.ringing, now_ms):
            # The agenda is another one now.
            self._rounds.wake()
            return
        # First what waits for its time, then what waits for its
        # turn: suspects are halved only among what may be shown now.
        agenda = self._agendas.hold_back(agenda, now_ms, is_waiting=self._audibility == "wait")
        agenda, is_more_waiting = self._retries.narrow(agenda)
        if is_more_waiting:
            self._rounds.wake()
        steps, agenda = await self._agendas.arrange(agenda, self._desktop.profile.layout, is_locked=self._is_locked)
        # Only after the last step: a round that was broken off leaves some of it due.
        if await self._take_steps(steps, agenda.deliveries):
            self._is_everything_due = False

    async def _take_steps(self, steps: Sequence[PopupStep], due: Sequence[Delivery]) -> bool:
        """Takes these steps, and writes down the outcome of each before the next: while the disk does not take one,
        nothing further is shown. Returns False if it stopped before the last, so that some are still due."""
        pictures = await self._screen.fetch_pictures(steps)
        for step in steps:
            if self._rounds.is_finishing:
                return False
            self._rounds.note_progress()
            try:
                await self._screen.take(step, due, pictures, is_audible=self._audibility == "ring")
            except (StorageError, UserError):
                raise
            except Exception as error:  # noqa: BLE001 - it is logged there
                self._retries.take_fault(as_fault(step, error))
            await self._write_down()
            if self._signals:
                # The user's click shall not wait for the other steps.
                self._rounds.wake()
                return False
        return True
