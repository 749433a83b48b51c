"""Does what the user wants done by a popup's button, room by room in order. A failure becomes a notice, with what was
typed in it.

The delivery loop closes the popup and hands the request over. Until it is done, the message is only dismissed, and
counts as unread. Tests: test_replies_to_a_room_arrive_in_the_order_they_were_typed,
test_a_failure_is_told_in_words_and_leaves_it_unread.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol
from weakref import WeakValueDictionary

from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Target
from heliograph.core.popups.actions import GO_THERE, RETRY, ActionKind, ActionRequest, MuteSpan, ask_span, word_failure
from heliograph.errors import LoggedOut, RateLimited, Refused, ServerError, StorageError, UserError
from heliograph.ports.desktop import Opener
from heliograph.ports.homeserver import RoomActions
from heliograph.ports.notices import Questions
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

MAX_UNDER_WAY = 50
MOST_MARKED = 5
"""Events that are tried one after another, to mark a room as read up to one that the homeserver still hands out."""


class Popups(Protocol):
    """What hears of rooms that the user read by other means than their popups (`loops.delivery.loop.DeliveryLoop`)."""

    def note_read(self, room_id: RoomId, event_id: EventId) -> None: ...
    def note_opened(self, room_id: RoomId) -> None: ...


class UnreadAbove(Protocol):
    """Tells what is unread above an event in its room, newest first. Raises StorageError."""

    async def __call__(self, room_id: RoomId, event_id: EventId) -> Sequence[EventId]: ...


class Reply(Protocol):
    """Sends a text into a room, encrypted where the room is. Raises UserError."""

    async def __call__(self, room_id: RoomId, text: str, transaction_id: str) -> object: ...


class Decline(Protocol):
    """Declines the call of an event. Raises ServerError, StorageError and UserError."""

    async def __call__(self, room_id: RoomId, call_id: EventId) -> None: ...


class ActionRunner:
    """Runs the actions of one account. `mute` mutes a room for that long, or for ever; it raises ServerError and
    StorageError."""

    def __init__(
        self,
        rooms: RoomActions,
        questions: Questions,
        popups: Popups,
        opener: Opener,
        *,
        reply: Reply,
        decline: Decline,
        mute: Callable[[RoomId, MuteSpan], Awaitable[None]],
        unread_above: UnreadAbove,
        has_public_receipts: bool = False,
        make_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._rooms = rooms
        self._questions = questions
        self._popups = popups
        self._opener = opener
        self._reply = reply
        self._decline = decline
        self._mute = mute
        self._unread_above = unread_above
        self._has_public_receipts = has_public_receipts
        self._make_id = make_id
        self._tasks: set[asyncio.Task[object]] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By room: two replies arrive in the order in which they were typed."""
        self._unread: dict[str, ActionRequest] = {}
        """By room: the requests to mark it as read that failed. One notice is about all of them."""

    def take(self, request: ActionRequest) -> None:
        """Starts doing the request, and returns at once. If it fails, the user is asked what to do."""
        if request.kind is ActionKind.MUTE and request.span is None:
            self._questions.ask(
                f"mute {request.room_id}",
                ask_span(request, self._rooms.user_id),
                lambda key: self.take(replace(request, span=MuteSpan(key))),
            )
            return
        if request.kind is ActionKind.REPLY and not request.transaction_id:
            # Made once for all tries, so that the homeserver sends the reply once, whichever answer was lost.
            request = replace(request, transaction_id=self._make_id())
        # A homeserver that hangs keeps every task for its time-out, and a summary asks for fifty rooms at a click.
        if len(self._tasks) >= MAX_UNDER_WAY:
            self._tell_failure(request, UserError("Too much is under way already.", "Wait until it is done."))
            return
        task = start_beside(self._carry_out(request), name=request.kind.value)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def do(self, request: ActionRequest) -> None:
        """Returns when the request is done. Raises UserError if it failed."""
        turn = self._turns.setdefault(request.room_id, asyncio.Lock())
        async with turn:
            try:
                await self._do(request)
            except (ServerError, StorageError) as trouble:
                raise _explain(trouble) from trouble
        log.info("Done in %s: %s", request.room_id, request.kind.value)

    async def finish(self, seconds: float) -> None:
        """Returns when nothing is under way; after so many seconds the rest is given up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()

    async def _carry_out(self, request: ActionRequest) -> None:
        try:
            await self.do(request)
        except UserError as error:
            self._tell_failure(request, error)
        except Exception:
            log.exception("Unexpected fault in %s", request.kind.value)
            self._tell_failure(request, UserError("An unexpected fault, see the log.", "Try again."))

    async def _do(self, request: ActionRequest) -> None:
        match request.kind:
            case ActionKind.REPLY:
                await self._reply(request.room_id, request.text, request.transaction_id)
                # After the reply, never before: a failure in between must leave the message unread.
                await self._mark_answered(request)
            case ActionKind.MARK_READ:
                await self._mark_read(request)
            case ActionKind.MUTE:
                await self._mute(request.room_id, request.span or MuteSpan.FOREVER)
            case ActionKind.ACCEPT:
                await self._rooms.join(request.room_id)
                self._popups.note_opened(request.room_id)
                await self._note_direct(request)
            case ActionKind.DECLINE:
                await self._rooms.leave(request.room_id)
                self._popups.note_opened(request.room_id)
            case ActionKind.DECLINE_CALL:
                # The homeserver tells of the decline in the next sync, which takes the call away.
                if request.event_id is not None:
                    await self._decline(request.room_id, request.event_id)
            case ActionKind.OPEN:
                if not await self._opener.open(request.room_id, request.event_id, None):
                    raise UserError(
                        "No Matrix client could be opened.", "Install one, or set open_with in the configuration."
                    )

    async def _mark_read(self, request: ActionRequest) -> None:
        # An invite has no event of the homeserver's that could be marked.
        if request.event_id is None:
            self._popups.note_opened(request.room_id)
            return
        await self._mark_up_to(request.room_id, request.event_id)
        if self._unread.pop(request.room_id, None) is not None and not self._unread:
            self._questions.withdraw(ActionKind.MARK_READ.value)
        self._popups.note_read(request.room_id, request.event_id)

    async def _mark_up_to(self, room_id: RoomId, event_id: EventId) -> None:
        """Marks what is before the event as read as well where the homeserver refuses the event itself: Synapse does
        for what somebody wrote who is ignored since.
        Test: test_what_the_homeserver_hands_out_no_longer_keeps_nothing_unread_that_stands_above."""
        try:
            await self._rooms.mark_read(room_id, event_id, is_public=self._has_public_receipts)
        except Refused as refusal:
            if refusal.status not in (403, 404):
                raise
            above = await self._unread_above(room_id, event_id)
            if not await self._mark_first(room_id, above[:MOST_MARKED]):
                raise

    async def _mark_first(self, room_id: RoomId, event_ids: Sequence[EventId]) -> bool:
        """Marks up to the first of these that the homeserver takes. Returns False if it takes none."""
        for event_id in event_ids:
            try:
                await self._rooms.mark_read(room_id, event_id, is_public=self._has_public_receipts)
            except Refused as refusal:
                log.info("Not marked in %s up to %s: %s", room_id, event_id, refusal)
            else:
                return True
        return False

    async def _mark_answered(self, request: ActionRequest) -> None:
        """Marks the room as read, since who answers has read it. If that fails, the answer has still been sent."""
        try:
            await self._mark_read(request)
        except ServerError as trouble:
            log.info("%s was answered, but not marked as read: %s", request.room_id, trouble)
            self._popups.note_opened(request.room_id)

    async def _note_direct(self, request: ActionRequest) -> None:
        if request.direct_with is None:
            return
        try:
            await self._rooms.add_direct(request.room_id, request.direct_with)
        except ServerError as trouble:
            log.warning("%s was joined, but not noted as a conversation of two: %s", request.room_id, trouble)

    def _tell_failure(self, request: ActionRequest, error: UserError) -> None:
        log.warning("Not done in %s: %s (%s)", request.room_id, request.kind.value, error.title)
        if request.kind is ActionKind.MARK_READ:
            self._tell_unread(request, error)
            return
        key = f"{request.kind.value} {request.transaction_id or request.room_id}"
        notice = word_failure(request, error.title, error.hint, self._rooms.user_id)

        def answer(chosen: str) -> None:
            if chosen == RETRY.key:
                self.take(request)
            elif chosen == GO_THERE.key:
                self.take(replace(request, kind=ActionKind.OPEN, text=""))
                if request.text:
                    # What was typed stays in sight.
                    self._questions.ask(key, notice, answer)

        self._questions.ask(key, notice, answer)

    def _tell_unread(self, request: ActionRequest, error: UserError) -> None:
        self._unread[request.room_id] = request
        several = len(self._unread) > 1
        told = replace(request, title=f"{len(self._unread)} rooms") if several else request
        notice = word_failure(told, error.title, error.hint, self._rooms.user_id)
        if several:
            notice = replace(notice, actions=(RETRY,), target=Target())

        def answer(chosen: str) -> None:
            requests, self._unread = list(self._unread.values()), {}
            for each in requests:
                self.take(each if chosen == RETRY.key else replace(each, kind=ActionKind.OPEN))

        self._questions.ask(request.kind.value, notice, answer)


def _explain(trouble: ServerError | StorageError) -> UserError:
    match trouble:
        case Refused(errcode="M_FORBIDDEN"):
            return UserError(f"The homeserver does not allow it: {trouble}.", "You may no longer be in the room.")
        case Refused():
            return UserError(f"The homeserver refuses it: {trouble}.", "Do it in your Matrix client.")
        case RateLimited(after=after):
            when = "in a while" if after is None else f"in {after:.0f} s"
            return UserError("The homeserver wants fewer requests.", f"Try again {when}.")
        case LoggedOut():
            return UserError("You are signed out.", "See `heliograph status`.")
        case StorageError():
            return UserError(f"The disk does not take it: {trouble}.", "Free some space, then try again.")
    return UserError(f"The homeserver cannot be reached: {trouble}.", "Try again when it can be.")
