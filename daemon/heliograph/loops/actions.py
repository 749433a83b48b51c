"""Does what the user wants done by a popup's button, one account's. What fails says so and keeps what was typed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol
from weakref import WeakValueDictionary

from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Notification, Target
from heliograph.core.popups.actions import GO_THERE, RETRY, Span, Verb, Wish, ask_span, word_failure
from heliograph.errors import LoggedOut, RateLimited, Refused, ServerError, StorageError, UserError
from heliograph.ports.desktop import Opener
from heliograph.ports.homeserver import RoomActions
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

MAX_UNDER_WAY = 50


class Popups(Protocol):
    """What `DeliveryLoop` does."""

    def ask(self, key: str, notification: Notification, on_answer: Callable[[str], None]) -> None: ...
    def withdraw(self, key: str) -> None: ...
    def note_read(self, room_id: RoomId, event_id: EventId) -> None: ...
    def note_opened(self, room_id: RoomId) -> None: ...


class Reply(Protocol):
    """Sends a text into a room, encrypted where the room is. Raises UserError."""

    async def __call__(self, room_id: RoomId, text: str, transaction_id: str) -> object: ...


class ActionRunner:
    """`mute` mutes a room for that long, or for ever; it raises ServerError and StorageError."""

    def __init__(
        self,
        rooms: RoomActions,
        popups: Popups,
        opener: Opener,
        *,
        reply: Reply,
        mute: Callable[[RoomId, Span], Awaitable[None]],
        has_public_receipts: bool = False,
        make_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._rooms = rooms
        self._popups = popups
        self._opener = opener
        self._reply = reply
        self._mute = mute
        self._has_public_receipts = has_public_receipts
        self._make_id = make_id
        self._tasks: set[asyncio.Task[object]] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By room: two replies arrive in the order in which they were typed."""
        self._unread: dict[str, Wish] = {}
        """By room: what could not be marked as read. One notice is about all of it."""

    def take(self, wish: Wish) -> None:
        """Has it done, and says so if that does not work. Returns at once."""
        if wish.verb is Verb.MUTE and wish.span is None:
            self._popups.ask(
                f"mute {wish.room_id}",
                ask_span(wish, self._rooms.user_id),
                lambda key: self.take(replace(wish, span=Span(key))),
            )
            return
        if wish.verb is Verb.REPLY and not wish.transaction_id:
            wish = replace(wish, transaction_id=self._make_id())
        if len(self._tasks) >= MAX_UNDER_WAY:
            self._tell_failure(wish, UserError("Too much is under way already.", "Wait until it is done."))
            return
        task = start_beside(self._carry_out(wish), name=wish.verb.value)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def do(self, wish: Wish) -> None:
        """Returns when it is done. Raises UserError if it is not."""
        turn = self._turns.setdefault(wish.room_id, asyncio.Lock())
        async with turn:
            try:
                await self._do(wish)
            except (ServerError, StorageError) as trouble:
                raise _explain(trouble) from trouble
        log.info("Done in %s: %s", wish.room_id, wish.verb.value)

    async def finish(self, seconds: float) -> None:
        """What is under way gets that long, then it is given up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()

    async def _carry_out(self, wish: Wish) -> None:
        try:
            await self.do(wish)
        except UserError as error:
            self._tell_failure(wish, error)
        except Exception:
            log.exception("Unexpected fault")
            self._tell_failure(wish, UserError("An unexpected fault, see the log.", "Try again."))

    async def _do(self, wish: Wish) -> None:
        match wish.verb:
            case Verb.REPLY:
                await self._reply(wish.room_id, wish.text, wish.transaction_id)
                await self._mark_answered(wish)
            case Verb.MARK_READ:
                await self._mark_read(wish)
            case Verb.MUTE:
                await self._mute(wish.room_id, wish.span or Span.FOREVER)
            case Verb.ACCEPT:
                await self._rooms.join(wish.room_id)
                self._popups.note_opened(wish.room_id)
                await self._note_direct(wish)
            case Verb.DECLINE:
                await self._rooms.leave(wish.room_id)
                self._popups.note_opened(wish.room_id)
            case Verb.OPEN:
                if not await self._opener.open(wish.room_id, wish.event_id, None):
                    raise UserError(
                        "No Matrix client could be opened.", "Install one, or set open_with in the configuration."
                    )

    async def _mark_read(self, wish: Wish) -> None:
        if wish.event_id is None:
            self._popups.note_opened(wish.room_id)
            return
        await self._rooms.mark_read(wish.room_id, wish.event_id, is_public=self._has_public_receipts)
        if self._unread.pop(wish.room_id, None) is not None and not self._unread:
            self._popups.withdraw(Verb.MARK_READ.value)
        self._popups.note_read(wish.room_id, wish.event_id)

    async def _mark_answered(self, wish: Wish) -> None:
        """Who answers has read. If only that does not work, the answer has been sent all the same."""
        try:
            await self._mark_read(wish)
        except ServerError as trouble:
            log.info("%s was answered, but not marked as read: %s", wish.room_id, trouble)
            self._popups.note_opened(wish.room_id)

    async def _note_direct(self, wish: Wish) -> None:
        if wish.direct_with is None:
            return
        try:
            await self._rooms.add_direct(wish.room_id, wish.direct_with)
        except ServerError as trouble:
            log.warning("%s was joined, but not noted as a conversation of two: %s", wish.room_id, trouble)

    def _tell_failure(self, wish: Wish, error: UserError) -> None:
        log.warning("Not done in %s: %s (%s)", wish.room_id, wish.verb.value, error.title)
        if wish.verb is Verb.MARK_READ:
            self._tell_unread(wish, error)
            return
        key = f"{wish.verb.value} {wish.transaction_id or wish.room_id}"
        notice = word_failure(wish, error.title, error.hint, self._rooms.user_id)

        def answer(chosen: str) -> None:
            if chosen == RETRY.key:
                self.take(wish)
            elif chosen == GO_THERE.key:
                self.take(replace(wish, verb=Verb.OPEN, text=""))
                if wish.text:
                    # What was typed stays in sight.
                    self._popups.ask(key, notice, answer)

        self._popups.ask(key, notice, answer)

    def _tell_unread(self, wish: Wish, error: UserError) -> None:
        self._unread[wish.room_id] = wish
        several = len(self._unread) > 1
        told = replace(wish, title=f"{len(self._unread)} rooms") if several else wish
        notice = word_failure(told, error.title, error.hint, self._rooms.user_id)
        if several:
            notice = replace(notice, actions=(RETRY,), target=Target())

        def answer(chosen: str) -> None:
            wishes, self._unread = list(self._unread.values()), {}
            for each in wishes:
                self.take(each if chosen == RETRY.key else replace(each, verb=Verb.OPEN))

        self._popups.ask(wish.verb.value, notice, answer)


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
