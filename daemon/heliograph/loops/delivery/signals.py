"""Handles what the user does with popups, and with their rooms elsewhere: clicks, answers, closings, in order."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from heliograph.core.delivery import Move, RetryLater
from heliograph.core.ids import EventId, RoomId, is_room_id
from heliograph.core.notification import Activated, Closed, Popup, Replied
from heliograph.core.popups.actions import ActionKind, ActionRequest, action_requests, kind_of
from heliograph.core.record import Delivery, PopupRecord
from heliograph.core.value_type import value_type
from heliograph.errors import StorageError, UserError
from heliograph.loops.delivery.notices import AccountNotices
from heliograph.loops.delivery.outcomes import Outcomes, settle_closed
from heliograph.ports.desktop import Desktop, Opener
from heliograph.ports.ledger import Ledger, Settlement
from heliograph.system.tasks import going_on

log = logging.getLogger(__name__)

MAX_SIGNALS = 10_000
"""Signals kept while the ledger is busy; a notification server that sends more loses the oldest."""
AFTERGLOW_MS = 10_000
"""How long after a popup's end a text typed into it still counts: some servers close the popup first.
Test: test_what_was_typed_counts_though_the_server_closed_the_popup_first."""
MAX_GONE = 32
"""Ended popups remembered for that."""


@value_type
class _RoomRead:
    """A signal of our own: the user opened or read a room by other means than its popup."""

    room_id: RoomId
    event_id: EventId | None = None
    """Up to here; None: all of it."""


class PopupSignals:
    """The signals of one account. A button becomes an action request: its popup is closed, and `on_request` is called
    with the request.

    `clock` gives milliseconds since 1970."""

    def __init__(
        self,
        ledger: Ledger,
        desktop: Desktop,
        opener: Opener,
        notices: AccountNotices,
        outcomes: Outcomes,
        *,
        clock: Callable[[], int],
        on_request: Callable[[ActionRequest], None],
    ) -> None:
        self._ledger = ledger
        self._desktop = desktop
        self._opener = opener
        self._notices = notices
        self._outcomes = outcomes
        self._clock = clock
        self._on_request = on_request
        self._signals: deque[Activated | Replied | Closed | _RoomRead] = deque(maxlen=MAX_SIGNALS)
        self._gone: OrderedDict[Popup, tuple[int, list[ActionRequest]]] = OrderedDict()
        """Popups that ended lately: when, and what they were about."""

    def __bool__(self) -> bool:
        """Whether a signal waits."""
        return bool(self._signals)

    def take(self, signal: Activated | Replied | Closed) -> None:
        """The notification server sent this signal; `handle` deals with it."""
        self._signals.append(signal)

    def note_read(self, room_id: RoomId, event_id: EventId | None) -> None:
        """The user read this room by other means than its popup, up to that event; None: all of it."""
        self._signals.append(_RoomRead(room_id, event_id))

    def note_withdrawn(self, record: PopupRecord) -> None:
        """We closed this popup ourselves; the user's click on it may be on its way."""
        if seen := _room_of(record):
            self._remember(record.popup, seen)

    def forget_gone(self) -> None:
        """Another notification server is there, which may use the same ids for other popups."""
        self._gone.clear()

    def drop_closed(self, popup: Popup) -> None:
        """Drops the closings of this popup that came before Notify was answered: they are about the popup that this one
        replaced, under the same id."""
        late = [signal for signal in self._signals if isinstance(signal, Closed) and signal.popup == popup]
        for signal in late:
            self._signals.remove(signal)

    async def handle(self, on_progress: Callable[[], None]) -> None:
        """Handles every signal that came, and writes its outcome down. Raises StorageError and UserError.

        `on_progress` is called before each.
        """
        while self._signals:
            on_progress()
            signal = self._signals.popleft()
            try:
                await self._handle(signal)
            except StorageError:
                # Kept in its place, so that what the user did is done in order once the disk works again.
                self._signals.appendleft(signal)
                raise
            except UserError:
                raise
            except Exception:
                # Not tried again: a reply must not be sent twice.
                # Test: test_a_click_that_finds_a_fault_is_not_repeated_and_is_told.
                log.exception("Unexpected fault in what the user did with a notification")
                self._notices.tell(
                    "What you did with a notification may not have worked",
                    "Heliograph has a fault. Look into your Matrix client; what went wrong is in the log.",
                )
            await self._outcomes.write_down()

    async def _handle(self, signal: Activated | Replied | Closed | _RoomRead) -> None:
        if isinstance(signal, _RoomRead):
            await self._settle_room(signal.room_id, signal.event_id)
            return
        if self._notices.hear(signal):
            return
        record = await self._record_of(signal.popup)
        deliveries = await self._ledger.shown_in(record.key) if record is not None else []
        # Its messages may be withdrawn while the popup is still on screen: a text typed there shall not be lost.
        seen = self._recall(signal.popup) if record is None else action_requests(deliveries) or _room_of(record)
        match signal:
            case Closed(popup, reason) if record is not None:
                self._remember(popup, seen)
                why = reason.name.lower()
                self._outcomes.note(*(settle_closed(each, why) for each in deliveries), closed=record.key)
            case Activated(_, action, token) if kind_of(action) is ActionKind.OPEN and (record is not None or seen):
                await self._open(record, deliveries, seen, token)
            case Activated(_, action) if (kind := kind_of(action)) is not None:
                await self._request([replace(each, kind=kind) for each in seen], record, deliveries)
            case Replied(_, text) if text.strip():
                await self._request(
                    [replace(each, kind=ActionKind.REPLY, text=text) for each in seen[:1]], record, deliveries
                )

    async def _settle_room(self, room_id: RoomId, event_id: EventId | None) -> None:
        unread = await self._ledger.open_deliveries([room_id])
        if event_id is not None:
            positions = await self._ledger.positions([event_id])
            # An event that the ledger does not know has no place among these, so nothing is taken for read by it.
            unread = [each for each in unread if each.position <= positions.get(event_id, 0)]
        keys = {each.popup_key for each in unread if each.popup_key is not None}
        self._outcomes.note(*(Settlement(each.event_id, Move.OPENED) for each in unread))
        for record in await self._ledger.popups():
            if record.key in keys:
                # The next round closes it, or leaves this room out of it.
                self._outcomes.note(shown=replace(record, is_stale=True))

    async def _open(
        self,
        record: PopupRecord | None,
        deliveries: Sequence[Delivery],
        seen: Sequence[ActionRequest],
        token: str | None,
    ) -> None:
        room_id, event_id = (seen[0].room_id, seen[0].event_id) if len(seen) == 1 else (None, None)
        if not await self._opener.open(room_id, event_id, token):
            self._notices.tell(
                "No Matrix client could be opened", "Install one, or set open_with in the configuration."
            )
        # Opened even where no client could be: the user has seen the popup, and a notice says what failed.
        await self._end(record, [Settlement(each.event_id, Move.OPENED) for each in deliveries])

    async def _request(
        self, wanted: Sequence[ActionRequest], record: PopupRecord | None, deliveries: Sequence[Delivery]
    ) -> None:
        for request in wanted:
            self._on_request(request)
        if wanted:
            # Unread until it is done.
            await self._end(record, [settle_closed(each, wanted[0].kind.value) for each in deliveries])

    async def _end(self, record: PopupRecord | None, settlements: Sequence[Settlement]) -> None:
        """Closes the popup that was acted upon, which dunst and mako keep on screen."""
        if record is None:
            return
        is_gone = False
        with going_on(f"closing the notification of {record.key}"):
            is_gone = not isinstance(await self._desktop.close(record.popup), RetryLater)
        if is_gone:
            self._outcomes.note(*settlements, closed=record.key)
        else:
            # Marked stale and without deliveries, the popup is closed in the next round that can.
            self._outcomes.note(*settlements, shown=replace(record, is_stale=True))

    def _remember(self, popup: Popup, seen: list[ActionRequest]) -> None:
        self._gone[popup] = (self._clock(), seen)
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)

    def _recall(self, popup: Popup) -> list[ActionRequest]:
        gone_ms, seen = self._gone.get(popup, (0, []))
        return seen if 0 <= self._clock() - gone_ms < AFTERGLOW_MS else []

    async def _record_of(self, popup: Popup) -> PopupRecord | None:
        return next((record for record in await self._ledger.popups() if record.popup == popup), None)


def _room_of(record: PopupRecord) -> list[ActionRequest]:
    """What a popup is about whose messages were all withdrawn: its room; nothing, if it was of many rooms."""
    return [ActionRequest(ActionKind.OPEN, record.key, "the room")] if is_room_id(record.key) else []
