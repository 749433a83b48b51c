"""Sends a text into a room: encrypted where the room is, never in clear instead."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from heliograph.core.events import Json
from heliograph.core.reply import MAX_TEXT, reply_content
from heliograph.errors import UserError
from heliograph.ports import Audience, Rooms


class Encrypts(Protocol):
    """What `encryption.room_sender.RoomSender` does."""

    async def encrypt(self, room_id: str, audience: Audience, type_: str, content: Json) -> Json: ...


class Replier:
    """For one account."""

    def __init__(
        self, rooms: Rooms, sender: Encrypts, *, make_id: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        self._rooms = rooms
        self._sender = sender
        self._make_id = make_id

    async def reply(
        self,
        room_id: str,
        text: str,
        *,
        event_id: str | None = None,
        sender: str | None = None,
        thread_root: str | None = None,
        is_encrypted: bool = False,
    ) -> str:
        """The id of the event that was sent. `event_id` and `sender` name the message that is answered.

        `is_encrypted`: the room is known to be; a homeserver that denies it is not believed. Raises ServerError,
        StorageError, and UserError if it cannot be sent safely.
        """
        if not text.strip():
            raise UserError("There is nothing to send.", "Write something first.")
        if len(text) > MAX_TEXT:
            raise UserError("The text is too long for one message.", f"Send at most {MAX_TEXT} characters.")
        content = reply_content(text, event_id, sender, thread_root)
        type_ = "m.room.message"
        audience = await self._rooms.audience(room_id)
        if audience.encryption is None and is_encrypted:
            raise UserError(
                "The homeserver says that this room is not encrypted any more, which cannot be.",
                "Reply in your Matrix client, and ask the homeserver's administrator.",
            )
        if audience.encryption is not None:
            content = await self._sender.encrypt(room_id, audience, type_, content)
            type_ = "m.room.encrypted"
        return await self._rooms.send(room_id, type_, content, self._make_id())
