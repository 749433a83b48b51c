"""The loop that brings due deliveries to the screen and records what became of them.

The ledger says what should be on screen, `core.popups` what to do about it, the desktop does it, and the outcome is
written down. A kill between the notification server's answer and that write repeats this one notification: the only
repeat there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from heliograph.core.delivery import Declined, Done, Move, NeedsUser, RetryLater, State, retry_delay
from heliograph.core.notification import (
    Activated,
    Category,
    Closed,
    Closing,
    DesktopSignal,
    Notification,
    Popup,
    ServerChanged,
)
from heliograph.core.popups import Close, Keep, Show, Step, arrange
from heliograph.core.record import Delivery, PopupRecord
from heliograph.errors import StorageError
from heliograph.ports import Desktop, Ledger, Opener, Settlement
from heliograph.status import AccountStatus

log = logging.getLogger(__name__)

ALL_DUE_MS = 2**62
STORAGE_RETRY_S = 5.0
DESKTOP_RETRY_S = 5.0
MAX_SIGNALS = 10_000
"""Signals kept while the ledger is busy; a notification server that sends more loses the oldest."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What the configuration says of the loop."""

    max_rooms: int = 5
    """If more rooms than this have something new at once, it becomes one summary."""
    logs_bodies: bool = False


class DeliveryLoop:
    """One account's loop. `clock` gives milliseconds since 1970, `jitter` numbers in [0, 1)."""

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
    ) -> None:
        self._ledger = ledger
        self._desktop = desktop
        self._opener = opener
        self._status = status
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._server: str | None = None
        self._signals: list[DesktopSignal] = []
        self._told: dict[str, Notification] = {}
        self._untold: list[Notification] = []
        self._woken = asyncio.Event()
        self._all_told = asyncio.Event()
        self._is_retry_wanted = False
        self._working_since_ms: int | None = None

    def wake(self) -> None:
        """Something changed in the ledger."""
        self._woken.set()

    def tell(self, title: str, hint: str) -> None:
        """Shows a notice of our own, once for each title in the life of the daemon."""
        if title not in self._told:
            notice = Notification(title, hint, self._status.user_id, category=Category.DEVICE)
            self._told[title] = notice
            self._untold.append(notice)
            self._woken.set()

    async def all_told(self) -> None:
        """Returns when every notice of our own has been shown."""
        while self._untold:
            self._all_told.clear()
            await self._all_told.wait()

    def is_stuck(self, now_ms: int, longest_ms: int) -> bool:
        """Whether one round of work has been going on for longer than that."""
        return self._working_since_ms is not None and now_ms - self._working_since_ms > longest_ms

    async def run(self) -> None:
        """Runs until cancelled."""
        self._desktop.listen(self._take_signal)
        while True:
            self._woken.clear()
            self._working_since_ms = self._clock()
            try:
                await self._work()
                delay = await self._delay()
            except StorageError as trouble:
                log.warning("Deliveries wait for the disk: %s", trouble)
                delay = STORAGE_RETRY_S
            except Exception:
                # A fault of our own must not end the daemon: what is due stays due.
                log.exception("Unexpected fault in the delivery loop")
                delay = STORAGE_RETRY_S
            self._working_since_ms = None
            await self._wait(delay)

    async def _wait(self, delay: float | None) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _delay(self) -> float | None:
        """Seconds until the next delivery is due; None: nothing to wait for but a call."""
        if self._server is None:
            return None
        due_ms = await self._ledger.next_due_ms()
        if due_ms is not None:
            return max(0.05, (due_ms - self._clock()) / 1000)
        return DESKTOP_RETRY_S if self._is_retry_wanted else None

    async def _work(self) -> None:
        self._is_retry_wanted = False
        while self._signals:
            signal = self._signals[0]
            await self._handle(signal)
            self._signals.pop(0)
        if self._server is not None:
            await self._tell()
            await self._deliver(self._clock())
        await self._count()

    async def _count(self) -> None:
        counts = await self._ledger.counts()
        self._status.pending = counts.get(State.PENDING.value, 0)
        self._status.shown = counts.get(State.SHOWN.value, 0)

    # To the screen

    async def _deliver(self, now_ms: int) -> None:
        due = await self._ledger.due(now_ms)
        popups = await self._ledger.popups()
        for step in arrange(due, popups, me=self._status.user_id, max_rooms=self._settings.max_rooms):
            await self._act(step)

    async def _act(self, step: Step) -> None:
        match step:
            case Show():
                await self._show(step)
            case Close(record):
                await self._withdraw(record)
            case Keep(record):
                await self._ledger.settle((), shown=replace(record, is_stale=False))

    async def _withdraw(self, record: PopupRecord) -> None:
        outcome = await self._desktop.close(record.popup)
        if isinstance(outcome, RetryLater):
            self._is_retry_wanted = True
            return
        await self._ledger.settle((), closed=record.key)
        log.info("Withdrew the notification of %s", record.key)

    async def _show(self, step: Show) -> None:
        replaces = step.replaces.popup if step.replaces and step.replaces.popup.server == self._server else None
        outcome = await self._desktop.show(step.notification, replaces)
        match outcome:
            case Done(popup):
                await self._ledger.settle(
                    [_settle_shown(each) for each in step.deliveries],
                    shown=PopupRecord(step.key, popup, step.digest),
                )
                self._report(step)
            case RetryLater(after, why):
                await self._put_off(step, after, why)
            case NeedsUser(title, hint):
                await self._put_off(step, None, f"{title} {hint}")
            case Declined(why):
                log.warning("The notification of %s was refused: %s", step.key, why)
                pending = [each for each in step.deliveries if each.state is State.PENDING]
                await self._ledger.settle([Settlement(each.event_id, Move.GAVE_UP, why=why) for each in pending])
                if step.replaces is not None:
                    await self._ledger.settle((), shown=replace(step.replaces, is_stale=False))

    async def _put_off(self, step: Show, after: float | None, why: str) -> None:
        pending = [each for each in step.deliveries if each.state is State.PENDING]
        attempts = max((each.attempts for each in pending), default=0) + 1
        delay = retry_delay(attempts, self._jitter()) if after is None else after
        due_ms = self._clock() + int(delay * 1000)
        log.info("%d deliveries wait: %s", len(pending), why)
        await self._ledger.settle([Settlement(each.event_id, Move.FAILED, due_ms, why) for each in pending])

    def _report(self, step: Show) -> None:
        new = [each for each in step.deliveries if each.state is State.PENDING]
        what = f"{len(new)} new" if new else "changed"
        log.info("Shown: %s (%s)", step.key, what)
        if self._settings.logs_bodies:
            log.info("%s: %s", step.notification.summary, step.notification.body)

    async def _tell(self) -> None:
        while self._untold:
            outcome = await self._desktop.show(self._untold[0], None)
            if isinstance(outcome, RetryLater):
                self._is_retry_wanted = True
                return
            self._untold.pop(0)
        self._all_told.set()

    # From the screen

    def _take_signal(self, signal: DesktopSignal) -> None:
        if len(self._signals) < MAX_SIGNALS:
            self._signals.append(signal)
        self._woken.set()

    async def _handle(self, signal: DesktopSignal) -> None:
        match signal:
            case ServerChanged(server):
                await self._change_server(server)
            case Activated(popup, _, token):
                await self._open(popup, token)
            case Closed(popup, reason):
                await self._dismiss(popup, reason)

    async def _change_server(self, server: str | None) -> None:
        """Ids of another life of the server would overwrite foreign notifications: they are forgotten."""
        self._server = server
        await self._ledger.forget_popup_ids(server)
        if server is not None:
            await self._deliver(ALL_DUE_MS)

    async def _open(self, popup: Popup, token: str | None) -> None:
        record = await self._record_of(popup)
        if record is None:
            return
        deliveries = await self._ledger.shown_in(record.key)
        room_id, event_id = _target(deliveries)
        if not await self._opener.open(room_id, event_id, token):
            self.tell("No Matrix client could be opened", "Install one, or set open_with in the configuration.")
        # dunst and mako keep a notification that was acted upon.
        await self._desktop.close(record.popup)
        await self._ledger.settle([Settlement(each.event_id, Move.OPENED) for each in deliveries], closed=record.key)

    async def _dismiss(self, popup: Popup, reason: Closing) -> None:
        record = await self._record_of(popup)
        if record is None:
            return
        deliveries = await self._ledger.shown_in(record.key)
        why = reason.name.lower()
        await self._ledger.settle(
            [Settlement(each.event_id, Move.DISMISSED, why=why) for each in deliveries], closed=record.key
        )

    async def _record_of(self, popup: Popup) -> PopupRecord | None:
        return next((record for record in await self._ledger.popups() if record.popup == popup), None)


def _settle_shown(delivery: Delivery) -> Settlement:
    return Settlement(delivery.event_id, Move.SHOWN if delivery.state is State.PENDING else Move.REPLACED)


def _target(deliveries: Sequence[Delivery]) -> tuple[str | None, str | None]:
    """The room and the newest event that the popup is about; no room if it is about several."""
    rooms = {each.room_id for each in deliveries}
    if len(rooms) != 1 or not (room_id := rooms.pop()):
        return None, None
    latest = deliveries[-1].event_id
    return room_id, latest if latest.startswith("$") else None
