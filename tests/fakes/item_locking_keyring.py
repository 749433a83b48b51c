"""A Secret Service that locks each item by itself, as KeePassXC does from its version 2.7 on: each connection to the
bus is to ask for each item, and what is in a locked collection is not found."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

_SERVICE = "org.freedesktop.secrets"
_ROOT = "/org/freedesktop/secrets"
COLLECTION = f"{_ROOT}/collection/passwords"
ITEM = f"{COLLECTION}/57f2caa420e441978563a5f42943c470"
_PROMPT = f"{_ROOT}/prompt/1"
_SESSION = f"{_ROOT}/session/1"


@dataclass
class ItemLockingKeyring:
    """Holds one item. `answers` are what the user says to the questions to come: True unlocks; none left dismisses."""

    secret: str
    is_open: bool = True
    answers: list[bool] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Paths that the user was asked for."""
    _bus: MessageBus | None = None
    _allowed: set[tuple[str | None, str]] = field(default_factory=set)
    """Connections to the bus, and the items that they may read."""
    _wanted: str = ""

    @contextlib.asynccontextmanager
    async def running(self, bus_address: str) -> AsyncIterator[None]:
        self._bus = await MessageBus(bus_address=bus_address, bus_type=BusType.SESSION).connect()
        self._bus.add_message_handler(self._take)
        await self._bus.request_name(_SERVICE)
        try:
            yield
        finally:
            self._bus.disconnect()

    def open(self) -> None:
        """The user unlocks the collection in the keyring's own window."""
        self.is_open = True
        self.signal(_ROOT, "Secret.Service", "CollectionChanged", "o", COLLECTION)

    def signal(self, path: str, interface: str, member: str, signature: str, *body: object) -> None:
        assert self._bus is not None
        self._bus.send(
            Message(
                path=path,
                interface=f"org.freedesktop.{interface}",
                member=member,
                message_type=MessageType.SIGNAL,
                signature=signature,
                body=list(body),
            )
        )

    def _take(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL or message.path in (None, "/org/freedesktop/DBus"):
            return None
        signature, *body = self._answer(message, message.body)
        return Message.new_method_return(message, signature, body)

    def _answer(self, message: Message, body: list[Any]) -> tuple[Any, ...]:
        match message.member:
            case "SearchItems":
                may_read = (message.sender, ITEM) in self._allowed
                found = [ITEM] if self.is_open else []
                return "aoao", found if may_read else [], [] if may_read else found
            case "ReadAlias":
                return "o", COLLECTION
            case "Get":
                assert body[1] == "Locked"
                return "v", Variant("b", not self.is_open if message.path == COLLECTION else True)
            case "Unlock":
                (self._wanted,) = body[0]
                return "aoo", [], _PROMPT
            case "Prompt":
                self._ask(message.sender)
                return ("",)
            case "OpenSession":
                return "vo", Variant("s", ""), _SESSION
            case "GetSecrets":
                return "a{o(oayays)}", {ITEM: [_SESSION, b"", self.secret.encode(), "text/plain"]}
        raise AssertionError(f"not asked by us before: {message.member}")

    def _ask(self, sender: str | None) -> None:
        self.asked.append(self._wanted)
        is_granted = self.answers.pop(0) if self.answers else False
        if is_granted and self._wanted == COLLECTION:
            self.open()
        elif is_granted:
            self._allowed.add((sender, self._wanted))
        result = Variant("ao", [self._wanted] if is_granted else [])
        self.signal(_PROMPT, "Secret.Prompt", "Completed", "bv", not is_granted, result)
