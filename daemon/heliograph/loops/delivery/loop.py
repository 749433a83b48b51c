"""The loop that brings due deliveries to the screen and records what became of them.

The ledger says what should be on screen, `core.popups.arrange` what to do about it, the desktop does it, and the
outcome is written down. A kill between the notification server's answer and that write repeats this one notification:
the only repeat there is. While the disk does not take the outcome, nothing further is shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from heliograph.core.delivery import Declined, Done, Move, NeedsUser, RetryLater, State, retry_delay
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import (
    Category,
    DesktopSignal,
    DoNotDisturb,
    Notification,
    Picture,
    ServerChanged,
)
from heliograph.core.outage import ABOUT_DISK, word_disk
from heliograph.core.popups.actions import ActionRequest
from heliograph.core.popups.arrange import Close, Fault, Keep, PopupStep, Show, arrange, is_summary, new_rooms
from heliograph.core.popups.bursts import BurstWindow, SoundGate
from heliograph.core.popups.privacy import SHOW_ALL, Level, Privacy, reduce
from heliograph.core.popups.quiet import Through
from heliograph.core.record import Agenda, Delivery, PopupRecord
from heliograph.core.suspects import Suspects
from heliograph.core.text.clean import count_things
from heliograph.errors import StorageError, UserError
from heliograph.loops.delivery.calls import Calls
from heliograph.loops.delivery.notices import Notices
from heliograph.loops.delivery.outcomes import Outcomes, settle_refused, settle_shown
from heliograph.loops.delivery.rounds import Rounds
from heliograph.loops.delivery.signals import PopupSignals
from heliograph.ports.desktop import Desktop, Opener, Pictures
from heliograph.ports.ledger import Ledger, Settlement
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

ALL_DUE_MS = 2**62
STORAGE_RETRY_S = 5.0
DESKTOP_RETRY_S = 5.0
LEAST_WAIT_S = 0.5
LARGE_COUNT = 200
"""Deliveries. More are arranged in a thread, and told of in parts, so that the other accounts go on meanwhile."""
LONGEST_WAIT_S = 600.0
"""However long the desktop asks for. A delivery that is due later than that was put off by a clock that was wrong."""


Audibility = Literal["ring", "silent", "wait"]
"""As the push rules want it; without sound; not before it is called off."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """Whose deliveries they are, and what the configuration says of them."""

    user_id: str
    max_rooms: int = 5
    """If more rooms than this have something new at once, it becomes one summary."""
    logs_bodies: bool = False
    privacy: Privacy = SHOW_ALL


class DeliveryLoop:
    """One account's loop. `clock` gives milliseconds since 1970, `jitter` numbers in [0, 1).

    `through` says what pops up in spite of quiet, or None while it is not quiet; what is held back stays PENDING.
    `on_change` is called when what is unread may be other than before, `on_rang` with what was shown first just now,
    `on_request` with what the user wants done by a popup's button: it must not take long, and opening is done here.
    Loops that share a `gate` sound one at a time.
    """

    def __init__(
        self,
        ledger: Ledger,
        desktop: Desktop,
        opener: Opener,
        notices: Notices,
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
        self._ledger = ledger
        self._desktop = desktop
        self._notices = notices
        self._rounds = rounds
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._through = through
        self._on_change = on_change
        self._on_rang = on_rang
        self._pictures = pictures
        self._gate = gate or SoundGate()
        self._burst = BurstWindow(settings.max_rooms)
        self._is_locked = self._was_locked = False
        self._outcomes = Outcomes(ledger, notices.tell)
        self._signals = PopupSignals(
            ledger, desktop, opener, notices, self._outcomes, clock=clock, on_request=on_request
        )
        self._server: str | None = None
        self._is_server_new = False
        self._is_everything_due = False
        """A new server may take what the one before refused."""
        self._rung: deque[Delivery] = deque()
        """Shown, and not told of yet: once it is written down."""
        self._suspects = Suspects()
        self._calls = Calls(ledger, notices.tell)
        self._trouble = ""
        self._next_ms: int | None = None
        """When the next delivery is due."""
        self._burst_ends_ms: int | None = None
        """When what is gathered is shown, if anything is."""
        self._is_retry_wanted = False
        self._audibility: Audibility = "ring"

    def hush(self, how: Audibility) -> None:
        """From now on, until it is called again."""
        self._audibility = how
        self._rounds.wake()

    def gather(self, is_more_coming: bool) -> None:
        """While more is known to come, what came is not shown, for a short time: then it is one burst."""
        if is_more_coming:
            self._burst.hold(self._clock())
        else:
            self._burst.release()
        self._rounds.wake()

    def set_locked(self, is_locked: bool) -> None:
        """The session is locked: what is on the screen may be seen by others."""
        self._is_locked = is_locked
        self._rounds.wake()

    async def rest(self) -> None:
        """Returns when all that is due has been tried."""
        self._burst.end()
        self._rounds.wake()
        await self._rounds.all_done()

    def wake(self) -> None:
        """Something changed in the ledger."""
        self._rounds.wake()

    def note_opened(self, room_id: RoomId) -> None:
        """The user opened or read this room by other means than its popup: nothing in it is unread any more."""
        self._signals.note_read(room_id, None)
        self._rounds.wake()

    def note_read(self, room_id: RoomId, event_id: EventId) -> None:
        """The user read this room up to that event."""
        self._signals.note_read(room_id, event_id)
        self._rounds.wake()

    def is_stuck(self, now_ms: int, longest_ms: int) -> bool:
        """Whether the round that is going on has not got on for longer than `longest_ms`."""
        return self._rounds.is_stuck(now_ms, longest_ms)

    def finish(self) -> None:
        """Ends `run` as soon as what is on its way to the screen is written down: else it would be shown again."""
        self._rounds.finish()

    async def run(self) -> None:
        """Runs until cancelled, or told to finish."""
        self._desktop.listen(self._take_signal)
        # After a crash what is due is still due, since only what was done is written down.
        await keep_running("deliveries", self._run, clock=self._clock, jitter=self._jitter)

    async def _run(self) -> None:
        while not self._rounds.is_finishing:
            try:
                with self._rounds.working():
                    await self._work()
                delay = self._delay()
                if self._trouble:
                    self._notices.withdraw(ABOUT_DISK)
                self._trouble = ""
            except (StorageError, UserError) as trouble:
                # A ledger that is damaged ends the account, which is the sync loop's to find out.
                if self._trouble != str(trouble):
                    log.warning("Deliveries wait for the disk: %s", trouble)
                if isinstance(trouble, StorageError) and not self._trouble:
                    self._notices.tell(*word_disk(str(trouble)), about=ABOUT_DISK)
                self._trouble = str(trouble)
                delay = STORAGE_RETRY_S
            self._on_change()
            await self._rounds.wait(delay)

    def _delay(self) -> float | None:
        """Seconds until there is something to do; None: nothing to wait for but a call."""
        if self._server is None:
            return None
        waits = [DESKTOP_RETRY_S] if self._is_retry_wanted else []
        if self._burst_ends_ms is not None:
            waits.append(max(0, self._burst_ends_ms - self._clock()) / 1000)
        if self._next_ms is not None:
            waits.append(max(LEAST_WAIT_S, (self._next_ms - self._clock()) / 1000))
        return min(waits, default=None)

    async def _work(self) -> None:
        self._is_retry_wanted = False
        self._burst_ends_ms = None
        # First, since it needs no ledger: what is to be told may be that the disk is full.
        if self._server is not None:
            self._is_retry_wanted |= await self._notices.show()
        await self._write_down()
        await self._signals.handle(self._rounds.note_progress)
        self._is_everything_due |= await self._meet_server()
        await self._meet_lock()
        if self._server is not None:
            await self._deliver()

    async def _write_down(self) -> None:
        await self._outcomes.write_down()
        await self._tell_rang()

    # To the screen

    async def _deliver(self) -> None:
        now = self._clock()
        until_ms = ALL_DUE_MS if self._is_everything_due else now
        agenda = await self._ledger.agenda(until_ms, now + int(1000 * LONGEST_WAIT_S), self._through())
        agenda = replace(
            agenda, deliveries=tuple(each for each in agenda.deliveries if not self._outcomes.is_lost(each))
        )
        next_ms = (agenda.next_ms, self._calls.next_end_ms(agenda.ringing))
        self._next_ms = min((each for each in next_ms if each is not None), default=None)
        if await self._calls.end(agenda.ringing, now):
            self._rounds.wake()
            return
        wait_ms = self._burst.wait_ms(now)
        if self._audibility == "wait" or wait_ms:
            # They stay due. What is on screen already is still changed and taken back.
            shown = tuple(each for each in agenda.deliveries if each.state is not State.PENDING)
            if self._audibility != "wait" and len(shown) < len(agenda.deliveries):
                self._burst_ends_ms = now + wait_ms
            agenda = replace(agenda, deliveries=shown)
        agenda, is_more_waiting = self._suspects.narrow(agenda)
        if is_more_waiting:
            self._rounds.wake()
        agenda = await self._with_summary(agenda)
        steps = await self._arrange(agenda)
        pictures = await self._fetch_pictures(steps)
        for step in steps:
            if self._rounds.is_finishing:
                return
            self._rounds.note_progress()
            try:
                await self._act(step, agenda.deliveries, pictures)
            except (StorageError, UserError):
                raise
            except Exception as error:  # noqa: BLE001 - it is logged there
                self._take_fault(_as_fault(step, error))
            await self._write_down()
            if self._signals:
                # The user shall not wait for the rest of it, which is still due.
                self._rounds.wake()
                return
        self._is_everything_due = False

    async def _arrange(self, agenda: Agenda) -> list[PopupStep]:
        plan = partial(
            arrange,
            agenda.deliveries,
            agenda.popups,
            me=self._settings.user_id,
            max_rooms=self._settings.max_rooms,
            level=partial(self._level, is_locked=self._is_locked),
        )
        return plan() if len(agenda.deliveries) < LARGE_COUNT else await asyncio.to_thread(plan)

    def _level(self, delivery: Delivery, *, is_locked: bool = False) -> Level:
        if delivery.content is None or not delivery.room_id:
            return Level.FULL
        names = {delivery.room_id, delivery.content.room_title, delivery.sender}
        return self._settings.privacy.level(names, is_locked=is_locked)

    async def _with_summary(self, agenda: Agenda) -> Agenda:
        """Where much came at once, with all that the summary shows which it will join."""
        if new_rooms(agenda.deliveries) <= self._settings.max_rooms:
            return agenda
        key = next((record.key for record in agenda.popups if is_summary(record.key)), None)
        known = {each.event_id for each in agenda.deliveries}
        shown = [] if key is None else await self._ledger.shown_in(key)
        return replace(agenda, deliveries=(*(each for each in shown if each.event_id not in known), *agenda.deliveries))

    async def _fetch_pictures(self, steps: Sequence[PopupStep]) -> Mapping[str, Picture]:
        avatars = {each.notification.avatar for each in steps if isinstance(each, Show)}
        wanted = {avatar for avatar in avatars if avatar is not None}
        if not wanted or self._pictures is None:
            return {}
        try:
            return await self._pictures.fetch(wanted)
        except Exception:
            log.exception("Unexpected fault in fetching pictures: notifications go without")
            return {}

    async def _act(self, step: PopupStep, due: Sequence[Delivery], pictures: Mapping[str, Picture]) -> None:
        match step:
            case Show():
                await self._show(step, pictures)
            case Close(record):
                await self._withdraw(record)
            case Fault():
                self._take_fault(step)
            case Keep(record):
                shown = [each for each in due if each.state is State.SHOWN and each.popup_key == record.key]
                self._outcomes.note(*map(settle_shown, shown), shown=replace(record, is_stale=False))

    async def _withdraw(self, record: PopupRecord) -> None:
        outcome = await self._desktop.close(record.popup)
        if isinstance(outcome, RetryLater):
            self._is_retry_wanted = True
            return
        self._outcomes.note(closed=record.key)
        self._signals.note_withdrawn(record)
        log.info("Withdrew the notification of %s", record.key)

    async def _show(self, step: Show, pictures: Mapping[str, Picture]) -> None:
        replaces = step.replaces.popup if step.replaces and step.replaces.popup.server == self._server else None
        avatar, now = step.notification.avatar, self._clock()
        notification = replace(step.notification, picture=None if avatar is None else pictures.get(avatar))
        if notification.sound is not None and not self._may_sound(notification, now):
            notification = replace(notification, sound=None)
        outcome = await self._desktop.show(notification, replaces)
        match outcome:
            case Done(popup):
                self._signals.drop_closed(popup)
                self._outcomes.note(
                    *map(settle_shown, step.deliveries), shown=PopupRecord(step.key, popup, step.digest)
                )
                self._suspects.clear(step.key, step.deliveries)
                self._report(step)
                self._rung.extend(each for each in step.deliveries if each.state is State.PENDING)
                if any(each.state is State.PENDING for each in step.deliveries):
                    self._burst.note_shown(now, is_new=replaces is None, is_summary=is_summary(step.key))
            case RetryLater(after, why):
                self._put_off(step.deliveries, after, why)
            case NeedsUser(title, hint):
                self._put_off(step.deliveries, None, f"{title} {hint}")
            case Declined(why):
                log.warning("The notification of %s was refused: %s", step.key, why)
                self._outcomes.note(
                    *(settle_refused(each, why) for each in step.deliveries),
                    shown=replace(step.replaces, is_stale=False) if step.replaces is not None else None,
                )

    def _take_fault(self, fault: Fault) -> None:
        """Something in a popup finds a fault of ours: what is new in it is tried again, and in the end given up alone;
        what is on screen stays as it is."""
        log.error("Unexpected fault in the notification of %s", fault.key, exc_info=fault.error)
        pending = [each for each in fault.deliveries if each.state is State.PENDING]
        why = f"a fault of Heliograph's own ({type(fault.error).__name__})"
        if not pending and self._suspects.note_popup_fault(fault.key):
            self._leave(fault)
        elif pending and self._suspects.note_fault(pending):
            self._outcomes.note(Settlement(pending[0].event_id, Move.GAVE_UP, why=why))
            self._notices.tell(
                "A message could not be shown",
                f"Heliograph has a fault. Look into your Matrix client, and for the reason at: heliograph explain "
                f"{pending[0].event_id}",
            )
        else:
            self._put_off(fault.deliveries, None, why)

    def _leave(self, fault: Fault) -> None:
        if fault.record is not None and fault.deliveries:
            self._outcomes.note(*map(settle_shown, fault.deliveries), shown=replace(fault.record, is_stale=False))
        else:
            # What it told of is settled elsewhere, and the user can close it.
            self._outcomes.note(closed=fault.key)

    def _may_sound(self, notification: Notification, now: int) -> bool:
        return self._audibility == "ring" and self._gate.passes(now, is_call=notification.category is Category.CALL)

    async def _tell_rang(self) -> None:
        """With no more of it than may be shown without a lock: this is no screen."""
        while self._rung:
            part = [self._rung.popleft() for _ in range(min(len(self._rung), LARGE_COUNT))]
            try:
                self._on_rang(
                    [replace(each, content=each.content and reduce(each.content, self._level(each))) for each in part]
                )
            except Exception:
                missed = count_things(len(part), "message")
                log.exception("Unexpected fault in telling hooks and bars what rang: they miss %s", missed)
            if self._rung:
                # A catch-up may bring thousands: the other loops go on meanwhile.
                await asyncio.sleep(0)

    def _put_off(self, deliveries: Sequence[Delivery], after: float | None, why: str) -> None:
        pending = [each for each in deliveries if each.state is State.PENDING]
        if not pending:
            self._is_retry_wanted = True
            return
        attempts = max(each.attempts for each in pending) + 1
        delay = retry_delay(attempts, self._jitter()) if after is None else after
        due_ms = self._clock() + int(1000 * min(max(delay, LEAST_WAIT_S), LONGEST_WAIT_S))
        self._next_ms = due_ms if self._next_ms is None else min(self._next_ms, due_ms)
        log.info("%s: %s", count_things(len(pending), "delivery waits", "deliveries wait"), why)
        self._outcomes.note(*(Settlement(each.event_id, Move.FAILED, due_ms, why) for each in pending))

    def _report(self, step: Show) -> None:
        new = [each for each in step.deliveries if each.state is State.PENDING]
        what = f"{len(new)} new" if new else "changed"
        log.info("Shown: %s (%s)", step.key, what)
        if self._settings.logs_bodies:
            log.info("%s: %s", step.notification.summary, step.notification.body)

    # From the screen

    def _take_signal(self, signal: DesktopSignal) -> None:
        if isinstance(signal, ServerChanged):
            # Known at once, while earlier signals may have to wait for the disk.
            self._server, self._is_server_new = signal.server, True
            self._notices.forget_popups()
            self._signals.forget_gone()
        elif isinstance(signal, DoNotDisturb):
            return
        else:
            self._signals.take(signal)
        self._rounds.wake()

    async def _meet_lock(self) -> None:
        """Once the session is locked, what is on the screen may have to say less; once it is open, it may say more."""
        if self._is_locked == self._was_locked:
            return
        is_locked = self._is_locked
        if self._settings.privacy.locked is not Level.FULL:
            for record in await self._ledger.popups():
                # Through the outcomes, which give up alone what cannot be kept.
                self._outcomes.note(shown=replace(record, is_stale=True))
        self._was_locked = is_locked
        await self._write_down()

    async def _meet_server(self) -> bool:
        """Whether another server is there than before. Ids of an earlier life would overwrite foreign notifications:
        they are forgotten."""
        is_new = self._is_server_new
        while self._is_server_new:
            server = self._server
            await self._ledger.forget_popup_ids(server)
            self._is_server_new = self._server != server
        return is_new


def _as_fault(step: PopupStep, error: Exception) -> Fault:
    match step:
        case Show(key, _, deliveries, _, replaces):
            return Fault(key, deliveries, replaces, error)
        case Close(record) | Keep(record):
            return Fault(record.key, (), record, error)
    return replace(step, error=error)
