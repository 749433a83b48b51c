"""The loop that brings due deliveries to the screen and records what became of them.

The ledger says what should be on screen, `core.popups` what to do about it, the desktop does it, and the outcome is
written down. A kill between the notification server's answer and that write repeats this one notification: the only
repeat there is. While the disk does not take the outcome, nothing further is shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from heliograph.core.actions import Verb, Wish, verb_of, wishes
from heliograph.core.calls import miss
from heliograph.core.delivery import Declined, Done, Move, NeedsUser, RetryLater, State, retry_delay
from heliograph.core.folding import Fold, SoundGate
from heliograph.core.ids import EventId, RoomId, is_room_id
from heliograph.core.notification import (
    Activated,
    Category,
    Closed,
    DesktopSignal,
    DoNotDisturb,
    Notification,
    Picture,
    Popup,
    Replied,
    ServerChanged,
)
from heliograph.core.outage import ABOUT_DISK, word_disk
from heliograph.core.popups import Close, Fault, Keep, Show, Step, arrange, is_summary, new_rooms
from heliograph.core.privacy import SHOW_ALL, Level, Privacy, reduce
from heliograph.core.quiet import Through
from heliograph.core.record import Agenda, Delivery, PopupRecord, Rewrite
from heliograph.core.suspects import TRIES, Suspects
from heliograph.errors import StorageError, UserError
from heliograph.notices import Notices
from heliograph.ports import Desktop, Ledger, Opener, Pictures, Settlement
from heliograph.status import AccountStatus
from heliograph.tasks import keep_running

log = logging.getLogger(__name__)

ALL_DUE_MS = 2**62
STORAGE_RETRY_S = 5.0
DESKTOP_RETRY_S = 5.0
LEAST_WAIT_S = 0.5
LARGE_COUNT = 200
"""Deliveries. More are arranged in a thread, and told of in parts, so that the other accounts go on meanwhile."""
LONGEST_WAIT_S = 600.0
"""However long the desktop asks for. A delivery that is due later than that was put off by a clock that was wrong."""
MAX_SIGNALS = 10_000
"""Signals kept while the ledger is busy; a notification server that sends more loses the oldest."""
AFTERGLOW_MS = 10_000
"""How long after a popup's end what was typed into it may come: some servers close it first."""
MAX_GONE = 32


Hush = Literal["ring", "silent", "wait"]
"""As the push rules want it; without sound; not before it is called off."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What the configuration says of the loop."""

    max_rooms: int = 5
    """If more rooms than this have something new at once, it becomes one summary."""
    logs_bodies: bool = False
    privacy: Privacy = SHOW_ALL


@dataclass(frozen=True, slots=True)
class _RoomRead:
    """The user opened a room, or read it, by other means than its popup."""

    room_id: RoomId
    event_id: EventId | None = None
    """Up to here; None: all of it."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What has happened on screen and is to be written down."""

    settlements: tuple[Settlement, ...] = ()
    shown: PopupRecord | None = None
    closed: str | None = None


class DeliveryLoop:
    """One account's loop. `clock` gives milliseconds since 1970, `jitter` numbers in [0, 1).

    `through` says what pops up in spite of quiet, or None while it is not quiet; what is held back stays PENDING.
    `on_change` is called when what is unread may be other than before, `on_rang` with what was shown first just now,
    `on_wish` with what the user wants done by a popup's button: it must not take long, and opening is done here.
    Loops that share a `gate` sound one at a time.
    """

    def __init__(
        self,
        ledger: Ledger,
        desktop: Desktop,
        opener: Opener,
        status: AccountStatus,
        settings: DeliverySettings,
        *,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        through: Callable[[], Through | None] = lambda: None,
        on_change: Callable[[], None] = lambda: None,
        on_rang: Callable[[Sequence[Delivery]], None] = lambda _: None,
        on_wish: Callable[[Wish], None] = lambda _: None,
        pictures: Pictures | None = None,
        gate: SoundGate | None = None,
    ) -> None:
        self._ledger = ledger
        self._desktop = desktop
        self._opener = opener
        self._status = status
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._through = through
        self._on_change = on_change
        self._on_rang = on_rang
        self._on_wish = on_wish
        self._pictures = pictures
        self._gate = gate or SoundGate()
        self._fold = Fold(settings.max_rooms)
        self._is_locked = self._was_locked = False
        self._notices = Notices(desktop, status.user_id)
        self._gone: OrderedDict[Popup, tuple[int, list[Wish]]] = OrderedDict()
        """Popups that ended lately: when, and what they were about."""
        self._server: str | None = None
        self._is_server_new = False
        self._is_everything_due = False
        """A new server may take what the one before refused."""
        self._signals: deque[Activated | Replied | Closed | _RoomRead] = deque(maxlen=MAX_SIGNALS)
        self._rung: deque[Delivery] = deque()
        """Shown, and not told of yet: once it is written down."""
        self._unwritten: deque[_Outcome] = deque()
        self._write_faults = 0
        """How often the first of these failed for a fault of ours."""
        self._unwritable: set[str] = set()
        """Ids of events of which nothing more can be written down."""
        self._suspects = Suspects()
        self._popup_faults: dict[str, int] = {}
        """By key: how often a change of what is on screen failed for a fault of ours."""
        self._trouble = ""
        self._next_ms: int | None = None
        """When the next delivery is due."""
        self._fold_ends_ms: int | None = None
        """When what is gathered is shown, if anything is."""
        self._woken = asyncio.Event()
        self._is_retry_wanted = False
        self._is_finishing = False
        self._working_since_ms: int | None = None
        self._rested = asyncio.Event()
        self._hush: Hush = "ring"

    def hush(self, how: Hush) -> None:
        """From now on, until it is called again."""
        self._hush = how
        self._woken.set()

    def gather(self, is_more_coming: bool) -> None:
        """While more is known to come, what came is not shown, for a short time: then it is one burst."""
        if is_more_coming:
            self._fold.hold(self._clock())
        else:
            self._fold.release()
        self._woken.set()

    def set_locked(self, is_locked: bool) -> None:
        """The session is locked: what is on the screen may be seen by others."""
        self._is_locked = is_locked
        self._woken.set()

    async def rest(self) -> None:
        """Returns when all that is due has been tried."""
        self._fold.end()
        self._woken.set()
        while self._woken.is_set() or self._working_since_ms is not None:
            self._rested.clear()
            await self._rested.wait()

    def wake(self) -> None:
        """Something changed in the ledger."""
        self._woken.set()

    def tell(self, title: str, hint: str, *, about: str = "") -> None:
        """Shows a notice of our own, as `Notices.tell` says."""
        self._notices.tell(title, hint, about=about)
        self._woken.set()

    def note_opened(self, room_id: RoomId) -> None:
        """The user opened or read this room by other means than its popup: nothing in it is unread any more."""
        self._signals.append(_RoomRead(room_id))
        self._woken.set()

    def note_read(self, room_id: RoomId, event_id: EventId) -> None:
        """The user read this room up to that event."""
        self._signals.append(_RoomRead(room_id, event_id))
        self._woken.set()

    def ask(self, key: str, notification: Notification, on_answer: Callable[[str], None]) -> None:
        """Shows a question of our own; `on_answer` is called with the key of the action chosen. Asked again under the
        same key it replaces what is shown."""
        self._notices.ask(key, notification, on_answer)
        self._woken.set()

    def withdraw(self, key: str) -> None:
        """Takes back a question, or the notice about trouble that is over."""
        self._notices.withdraw(key)
        self._woken.set()

    async def all_told(self) -> None:
        """Returns when every notice of our own has been shown."""
        await self._notices.all_told()

    def is_stuck(self, now_ms: int, longest_ms: int) -> bool:
        """Whether one round of work has been going on for longer than that."""
        return self._working_since_ms is not None and now_ms - self._working_since_ms > longest_ms

    def finish(self) -> None:
        """Ends `run` as soon as what is on its way to the screen is written down: else it would be shown again."""
        self._is_finishing = True
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled, or told to finish."""
        self._desktop.listen(self._take_signal)
        # After a crash what is due is still due, since only what was done is written down.
        await keep_running("deliveries", self._run, clock=self._clock, jitter=self._jitter)

    async def _run(self) -> None:
        while not self._is_finishing:
            self._woken.clear()
            self._working_since_ms = self._clock()
            try:
                await self._work()
                delay = self._delay()
                if self._trouble:
                    self.withdraw(ABOUT_DISK)
                self._trouble = ""
            except (StorageError, UserError) as trouble:
                # A ledger that is damaged ends the account, which is the sync loop's to find out.
                if self._trouble != str(trouble):
                    log.warning("Deliveries wait for the disk: %s", trouble)
                if isinstance(trouble, StorageError) and not self._trouble:
                    self.tell(*word_disk(str(trouble)), about=ABOUT_DISK)
                self._trouble = str(trouble)
                delay = STORAGE_RETRY_S
            finally:
                self._working_since_ms = None
                self._rested.set()
            self._on_change()
            await self._wait(delay)

    async def _wait(self, delay: float | None) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _delay(self) -> float | None:
        """Seconds until there is something to do; None: nothing to wait for but a call."""
        if self._server is None:
            return None
        waits = [DESKTOP_RETRY_S] if self._is_retry_wanted else []
        if self._fold_ends_ms is not None:
            waits.append(max(0, self._fold_ends_ms - self._clock()) / 1000)
        if self._next_ms is not None:
            waits.append(max(LEAST_WAIT_S, (self._next_ms - self._clock()) / 1000))
        return min(waits, default=None)

    async def _work(self) -> None:
        self._is_retry_wanted = False
        self._fold_ends_ms = None
        # First, since it needs no ledger: what is to be told may be that the disk is full.
        if self._server is not None:
            self._is_retry_wanted |= await self._notices.show()
        await self._write_down()
        await self._handle_signals()
        self._is_everything_due |= await self._meet_server()
        await self._meet_lock()
        if self._server is not None:
            await self._deliver()

    async def _write_down(self) -> None:
        """In order, each until the disk takes it: what is on screen must not be shown again, nor opened again."""
        while self._unwritten:
            outcome = self._unwritten[0]
            try:
                await self._ledger.settle(outcome.settlements, shown=outcome.shown, closed=outcome.closed)
            except (StorageError, UserError):
                raise
            except Exception as error:
                self._write_faults += 1
                if self._write_faults < TRIES:
                    raise
                self._give_up_writing(outcome, error)
            self._write_faults = 0
            self._unwritten.popleft()
        await self._tell_rang()

    def _give_up_writing(self, outcome: _Outcome, error: Exception) -> None:
        """The ledger will go on to have it otherwise: until the daemon ends, these are shown no more."""
        log.error("What became of %d messages cannot be kept", len(outcome.settlements), exc_info=error)
        self._unwritable.update(each.event_id for each in outcome.settlements)
        self.tell(
            "Some messages may be shown twice",
            "Heliograph has a fault: what became of them cannot be kept. What went wrong is in the log.",
        )

    def _note(self, *settlements: Settlement, shown: PopupRecord | None = None, closed: str | None = None) -> None:
        self._unwritten.append(_Outcome(settlements, shown, closed))

    # To the screen

    async def _deliver(self) -> None:
        now = self._clock()
        until_ms = ALL_DUE_MS if self._is_everything_due else now
        agenda = await self._ledger.agenda(until_ms, now + int(1000 * LONGEST_WAIT_S), self._through())
        self._next_ms = min((*_ends(agenda), *([] if agenda.next_ms is None else [agenda.next_ms])), default=None)
        if await self._end_calls(agenda, now):
            return
        wait_ms = self._fold.wait_ms(now)
        if self._hush == "wait" or wait_ms:
            # They stay due. What is on screen already is still changed and taken back.
            shown = tuple(each for each in agenda.deliveries if each.state is not State.PENDING)
            if self._hush != "wait" and len(shown) < len(agenda.deliveries):
                self._fold_ends_ms = now + wait_ms
            agenda = replace(agenda, deliveries=shown)
        agenda = await self._with_summary(self._without_suspects(agenda))
        steps = await self._arrange(agenda)
        pictures = await self._fetch_pictures(steps)
        for step in steps:
            if self._is_finishing:
                return
            self._working_since_ms = self._clock()
            try:
                await self._act(step, agenda.deliveries, pictures)
            except (StorageError, UserError):
                raise
            except Exception as error:  # noqa: BLE001 - it is logged there
                self._take_fault(_as_fault(step, error))
            await self._write_down()
            if self._signals:
                # The user shall not wait for the rest of it, which is still due.
                self._woken.set()
                return
        self._is_everything_due = False

    async def _end_calls(self, agenda: Agenda, now_ms: int) -> bool:
        """Whether calls rang for as long as they do; then there is another agenda."""
        over = [each for each in agenda.ringing if each.content and each.content.rings_until_ms <= now_ms]
        if over:
            await self._ledger.change([Rewrite(each.event_id, miss(each.content)) for each in over if each.content])
            self._woken.set()
        return bool(over)

    async def _arrange(self, agenda: Agenda) -> list[Step]:
        plan = partial(
            arrange,
            agenda.deliveries,
            agenda.popups,
            me=self._status.user_id,
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

    async def _fetch_pictures(self, steps: Sequence[Step]) -> Mapping[str, Picture]:
        avatars = {each.notification.avatar for each in steps if isinstance(each, Show)}
        wanted = {avatar for avatar in avatars if avatar is not None}
        if not wanted or self._pictures is None:
            return {}
        try:
            return await self._pictures.fetch(wanted)
        except Exception:
            log.exception("Unexpected fault in fetching pictures: notifications go without")
            return {}

    async def _act(self, step: Step, due: Sequence[Delivery], pictures: Mapping[str, Picture]) -> None:
        match step:
            case Show():
                await self._show(step, pictures)
            case Close(record):
                await self._withdraw(record)
            case Fault():
                self._take_fault(step)
            case Keep(record):
                shown = [each for each in due if each.state is State.SHOWN and each.popup_key == record.key]
                self._note(*map(_settle_shown, shown), shown=replace(record, is_stale=False))

    async def _withdraw(self, record: PopupRecord) -> None:
        outcome = await self._desktop.close(record.popup)
        if isinstance(outcome, RetryLater):
            self._is_retry_wanted = True
            return
        self._note(closed=record.key)
        if is_room_id(record.key):
            self._remember(record.popup, [Wish(Verb.OPEN, record.key, "the room")])
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
                self._drop_closed(popup)
                self._note(*map(_settle_shown, step.deliveries), shown=PopupRecord(step.key, popup, step.digest))
                self._suspects.clear(step.deliveries)
                self._popup_faults.pop(step.key, None)
                self._report(step)
                self._rung.extend(each for each in step.deliveries if each.state is State.PENDING)
                if any(each.state is State.PENDING for each in step.deliveries):
                    self._fold.note_shown(now, is_new=replaces is None, is_summary=is_summary(step.key))
            case RetryLater(after, why):
                self._put_off(step.deliveries, after, why)
            case NeedsUser(title, hint):
                self._put_off(step.deliveries, None, f"{title} {hint}")
            case Declined(why):
                log.warning("The notification of %s was refused: %s", step.key, why)
                self._note(
                    *(_settle_refused(each, why) for each in step.deliveries),
                    shown=replace(step.replaces, is_stale=False) if step.replaces is not None else None,
                )

    def _without_suspects(self, agenda: Agenda) -> Agenda:
        """Less what is suspected to be what finds a fault of ours, while there is something else; then part of it."""
        known = [each for each in agenda.deliveries if each.event_id not in self._unwritable]
        pending = [each for each in known if each.state is State.PENDING]
        chosen = self._suspects.choose(pending)
        if len(chosen) < len(pending):
            self._woken.set()
        ids = {each.event_id for each in chosen}
        alone = {each.room_id for each in chosen if self._suspects.is_to_stand_alone(each)}
        return replace(
            agenda,
            deliveries=tuple(
                each
                for each in known
                if (each.event_id in ids if each.state is State.PENDING else each.room_id not in alone)
            ),
        )

    def _take_fault(self, fault: Fault) -> None:
        """Something in a popup finds a fault of ours: what is new in it is tried again, and in the end given up alone;
        what is on screen stays as it is."""
        log.error("Unexpected fault in the notification of %s", fault.key, exc_info=fault.error)
        pending = [each for each in fault.deliveries if each.state is State.PENDING]
        why = f"a fault of Heliograph's own ({type(fault.error).__name__})"
        if not pending:
            self._give_up_popup(fault)
        elif self._suspects.note_fault(pending):
            self._note(Settlement(pending[0].event_id, Move.GAVE_UP, why=why))
            self.tell(
                "A message could not be shown",
                f"Heliograph has a fault. Look into your Matrix client, and for the reason at: heliograph explain "
                f"{pending[0].event_id}",
            )
        else:
            self._put_off(fault.deliveries, None, why)

    def _give_up_popup(self, fault: Fault) -> None:
        faults = self._popup_faults[fault.key] = self._popup_faults.get(fault.key, 0) + 1
        if faults < TRIES or fault.record is None:
            self._is_retry_wanted = True
            return
        del self._popup_faults[fault.key]
        if fault.deliveries:
            self._note(*map(_settle_shown, fault.deliveries), shown=replace(fault.record, is_stale=False))
        else:
            # What it told of is settled elsewhere, and the user can close it.
            self._note(closed=fault.key)

    def _may_sound(self, notification: Notification, now: int) -> bool:
        return self._hush == "ring" and self._gate.passes(now, is_call=notification.category is Category.CALL)

    async def _tell_rang(self) -> None:
        """With no more of it than may be shown without a lock: this is no screen."""
        while self._rung:
            part = [self._rung.popleft() for _ in range(min(len(self._rung), LARGE_COUNT))]
            try:
                self._on_rang(
                    [replace(each, content=each.content and reduce(each.content, self._level(each))) for each in part]
                )
            except Exception:
                log.exception("Unexpected fault in telling hooks and bars what rang: they miss %d messages", len(part))
            if self._rung:
                # A catch-up may bring thousands: the other loops go on meanwhile.
                await asyncio.sleep(0)

    def _drop_closed(self, popup: Popup) -> None:
        """What was heard before Notify was answered is about the popup that this one replaced, under the same id."""
        late = [signal for signal in self._signals if isinstance(signal, Closed) and signal.popup == popup]
        for signal in late:
            self._signals.remove(signal)

    def _put_off(self, deliveries: Sequence[Delivery], after: float | None, why: str) -> None:
        pending = [each for each in deliveries if each.state is State.PENDING]
        if not pending:
            self._is_retry_wanted = True
            return
        attempts = max(each.attempts for each in pending) + 1
        delay = retry_delay(attempts, self._jitter()) if after is None else after
        due_ms = self._clock() + int(1000 * min(max(delay, LEAST_WAIT_S), LONGEST_WAIT_S))
        self._next_ms = due_ms if self._next_ms is None else min(self._next_ms, due_ms)
        log.info("%d deliveries wait: %s", len(pending), why)
        self._note(*(Settlement(each.event_id, Move.FAILED, due_ms, why) for each in pending))

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
            self._gone.clear()
        elif isinstance(signal, DoNotDisturb):
            return
        else:
            self._signals.append(signal)
        self._woken.set()

    async def _handle_signals(self) -> None:
        while self._signals:
            self._working_since_ms = self._clock()
            signal = self._signals.popleft()
            try:
                await self._handle(signal)
            except StorageError:
                self._signals.appendleft(signal)
                raise
            except UserError:
                raise
            except Exception:
                # Not again: a reply must not be sent twice.
                log.exception("Unexpected fault in what the user did with a notification")
                self.tell(
                    "What you did with a notification may not have worked",
                    "Heliograph has a fault. Look into your Matrix client; what went wrong is in the log.",
                )
            await self._write_down()

    async def _handle(self, signal: Activated | Replied | Closed | _RoomRead) -> None:
        if isinstance(signal, _RoomRead):
            await self._settle_room(signal.room_id, signal.event_id)
            return
        if self._notices.hear(signal):
            # It may be asked again.
            self._woken.set()
            return
        record = await self._record_of(signal.popup)
        deliveries = await self._ledger.shown_in(record.key) if record is not None else []
        seen = wishes(deliveries) if record is not None else self._recall(signal.popup)
        match signal:
            case Closed(popup, reason) if record is not None:
                self._remember(popup, seen)
                why = reason.name.lower()
                self._note(*(_settle_closed(each, why) for each in deliveries), closed=record.key)
            case Activated(_, action, token) if verb_of(action) is Verb.OPEN and (record is not None or seen):
                await self._open(record, deliveries, seen, token)
            case Activated(_, action) if (verb := verb_of(action)) is not None:
                await self._wish([replace(each, verb=verb) for each in seen], record, deliveries)
            case Replied(_, text) if text.strip():
                await self._wish([replace(each, verb=Verb.REPLY, text=text) for each in seen[:1]], record, deliveries)

    async def _settle_room(self, room_id: RoomId, event_id: EventId | None) -> None:
        unread = await self._ledger.open_deliveries([room_id])
        if event_id is not None:
            positions = await self._ledger.positions([event_id])
            unread = [each for each in unread if each.position <= positions.get(event_id, 0)]
        keys = {each.popup_key for each in unread if each.popup_key is not None}
        self._note(*(Settlement(each.event_id, Move.OPENED) for each in unread))
        for record in await self._ledger.popups():
            if record.key in keys:
                # The next round closes it, or leaves this room out of it.
                self._note(shown=replace(record, is_stale=True))

    async def _meet_lock(self) -> None:
        """Once the session is locked, what is on the screen may have to say less; once it is open, it may say more."""
        if self._is_locked == self._was_locked:
            return
        is_locked = self._is_locked
        if self._settings.privacy.locked is not Level.FULL:
            for record in await self._ledger.popups():
                await self._ledger.settle((), shown=replace(record, is_stale=True))
        self._was_locked = is_locked

    async def _meet_server(self) -> bool:
        """Whether another server is there than before. Ids of an earlier life would overwrite foreign notifications:
        they are forgotten."""
        is_new = self._is_server_new
        while self._is_server_new:
            server = self._server
            await self._ledger.forget_popup_ids(server)
            self._is_server_new = self._server != server
        return is_new

    async def _open(
        self, record: PopupRecord | None, deliveries: Sequence[Delivery], seen: Sequence[Wish], token: str | None
    ) -> None:
        room_id, event_id = (seen[0].room_id, seen[0].event_id) if len(seen) == 1 else (None, None)
        if not await self._opener.open(room_id, event_id, token):
            self.tell("No Matrix client could be opened", "Install one, or set open_with in the configuration.")
        await self._end(record, [Settlement(each.event_id, Move.OPENED) for each in deliveries])

    async def _wish(self, wanted: Sequence[Wish], record: PopupRecord | None, deliveries: Sequence[Delivery]) -> None:
        for wish in wanted:
            self._on_wish(wish)
        if wanted:
            # Unread until it is done.
            await self._end(record, [_settle_closed(each, wanted[0].verb.value) for each in deliveries])

    async def _end(self, record: PopupRecord | None, settlements: Sequence[Settlement]) -> None:
        """The popup has served: dunst and mako keep one that was acted upon."""
        if record is None:
            return
        try:
            is_gone = not isinstance(await self._desktop.close(record.popup), RetryLater)
        except Exception:
            log.exception("Unexpected fault in closing the notification of %s", record.key)
            is_gone = False
        if not is_gone:
            # Stale, and with nothing left to show: it is closed as soon as that works.
            self._note(*settlements, shown=replace(record, is_stale=True))
        else:
            self._note(*settlements, closed=record.key)

    def _remember(self, popup: Popup, seen: list[Wish]) -> None:
        self._gone[popup] = (self._clock(), seen)
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)

    def _recall(self, popup: Popup) -> list[Wish]:
        gone_ms, seen = self._gone.get(popup, (0, []))
        return seen if 0 <= self._clock() - gone_ms < AFTERGLOW_MS else []

    async def _record_of(self, popup: Popup) -> PopupRecord | None:
        return next((record for record in await self._ledger.popups() if record.popup == popup), None)


def _as_fault(step: Step, error: Exception) -> Fault:
    match step:
        case Show(key, _, deliveries, _, replaces):
            return Fault(key, deliveries, replaces, error)
        case Close(record) | Keep(record):
            return Fault(record.key, (), record, error)
    return replace(step, error=error)


def _ends(agenda: Agenda) -> list[int]:
    return [each.content.rings_until_ms for each in agenda.ringing if each.content is not None]


def _settle_shown(delivery: Delivery) -> Settlement:
    return Settlement(delivery.event_id, Move.SHOWN if delivery.state is State.PENDING else Move.REPLACED)


def _settle_closed(delivery: Delivery, why: str) -> Settlement:
    # What is no message of a room has nothing left to read.
    return Settlement(delivery.event_id, Move.DISMISSED if delivery.room_id else Move.OPENED, why=why)


def _settle_refused(delivery: Delivery, why: str) -> Settlement:
    is_new = delivery.state is State.PENDING
    return Settlement(delivery.event_id, Move.GAVE_UP, why=why) if is_new else _settle_shown(delivery)
