"""Sends an answer into a room, to a message or a call: encrypted if the room is, and never in clear instead.

Test: test_a_room_that_was_encrypted_is_never_written_to_in_clear.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from heliograph.core.events import Json
from heliograph.core.ids import EventId, RoomId, is_event_id
from heliograph.core.sync.calls import DECLINE, decline_content
from heliograph.core.text.reply import MAX_TEXT, reply_content
from heliograph.errors import ServerError, StorageError, UserError
from heliograph.ports.homeserver import Audience, Rooms
from heliograph.ports.ledger import Ledger


class Encrypts(Protocol):
    """Encrypts an event for a room (`encryption.sending.RoomSender`)."""

    async def encrypt(self, room_id: RoomId, audience: Audience, type_: str, content: Json) -> Json: ...


class ReplySender:
    """Sends the replies of one account."""

    def __init__(
        self,
        rooms: Rooms,
        ledger: Ledger,
        encrypter: Encrypts,
        *,
        make_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._rooms = rooms
        self._ledger = ledger
        self._encrypter = encrypter
        self._make_id = make_id

    async def reply(self, room_id: RoomId, text: str, transaction_id: str = "") -> str:
        """Answers the newest unread message of the room, if there is one; returns the id of the event that was sent.

        Tried again with the same transaction id, the homeserver sends it once, whichever answer was lost.
        Test: test_a_failed_reply_says_so_and_keeps_what_was_typed_and_is_sent_once_in_the_end.
        Raises UserError if it was not sent, or cannot be sent safely.
        """
        if not text.strip():
            raise UserError("There is nothing to send.", "Write something first.")
        if len(text) > MAX_TEXT:
            raise UserError("The text is too long for one message.", f"Send at most {MAX_TEXT} characters.")
        try:
            return await self._reply(room_id, text, transaction_id or self._make_id())
        except (ServerError, StorageError) as trouble:
            raise UserError(
                f"The reply was not sent: {trouble}.", "Try again, or reply in your Matrix client."
            ) from None

    async def decline(self, room_id: RoomId, call_id: EventId) -> None:
        """Declines the call that this event rings for (MSC4310), for the caller and the user's other devices. Raises
        ServerError, StorageError, and UserError where it cannot be sent safely."""
        await self._send(room_id, DECLINE, decline_content(call_id), self._make_id())

    async def _reply(self, room_id: RoomId, text: str, transaction_id: str) -> str:
        messages = [each for each in await self._ledger.open_deliveries([room_id]) if is_event_id(each.event_id)]
        content = reply_content(text, None, None, None)
        if messages:
            newest = messages[-1]
            content = reply_content(text, newest.event_id, newest.sender, newest.thread_root)
        return await self._send(room_id, "m.room.message", content, transaction_id)

    async def _send(self, room_id: RoomId, type_: str, content: Json, transaction_id: str) -> str:
        # What the ledger knows from before: a homeserver that calls an encrypted room plain is lied to or lies.
        record = (await self._ledger.rooms([room_id], ())).get(room_id)
        audience = await self._rooms.audience(room_id)
        if audience.encryption is not None:
            content = await self._encrypter.encrypt(room_id, audience, type_, content)
            type_ = "m.room.encrypted"
        elif record is not None and record.facts.is_encrypted:
            raise UserError(
                "The homeserver says that this room is not encrypted any more, which cannot be.",
                "Reply in your Matrix client, and ask the homeserver's administrator.",
            )
        return await self._rooms.send(room_id, type_, content, transaction_id)
