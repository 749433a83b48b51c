"""Defines the interface io.github.heliograph.Verification1, beside Daemon1 on the same object, and its client. For
`heliograph verify`.

    Begin(user id) -> transaction id
    Look(user id, transaction id or "") -> JSON
    Answer(user id, transaction id, is same)
    Cancel(user id, transaction id)
    Unlock(user id, kind, file descriptor) -> whether the key backup is open as well

The secret of Unlock comes through a pipe, since other programs can watch what is said on the bus.
Test: test_a_secret_comes_through_a_pipe.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from dbus_fast import DBusError, Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError
from dbus_fast.service import ServiceInterface, method

from heliograph.control import BUS_NAME, NOBODY, OBJECT_PATH
from heliograph.control.peers import refuse_sandboxed
from heliograph.errors import EXIT_FAILED, EXIT_USAGE, HeliographError, UserError
from heliograph.system.service_manager import to_restart, to_start
from heliograph.system.session_bus import session_bus_address

INTERFACE = "io.github.heliograph.Verification1"
ERROR = "io.github.heliograph.Error"
"""The D-Bus name of all errors that the user can mend. The text has three lines: what is wrong, what to do, and the
exit code for a command."""
MAX_SECRET = 4096

_CONNECT_S = 3.0
_CALL_S = 60.0
"""The daemon may have to wait for the homeserver before it answers."""
_READ_S = 5.0

T = TypeVar("T")


class Verifying(Protocol):
    """What the daemon does when it is called (`app.verification_api`). Raises UserError and ServerError."""

    async def begin(self, user_id: str) -> str: ...
    async def look(self, user_id: str, transaction_id: str) -> dict[str, Any]: ...
    async def answer(self, user_id: str, transaction_id: str, *, is_same: bool) -> None: ...
    async def cancel(self, user_id: str, transaction_id: str) -> None: ...
    async def unlock(self, user_id: str, kind: str, secret: str) -> bool: ...


class Verification1(ServiceInterface):
    """The exported interface. What acts in the user's name is refused to programs in a sandbox."""

    def __init__(self, verifying: Verifying) -> None:
        super().__init__(INTERFACE)
        self._verifying = verifying

    @method()
    async def Begin(self, user_id: "s") -> "s":  # type: ignore[name-defined]  # noqa: N802, F821, UP037
        return await _acted(self._verifying.begin(user_id))

    @method()
    async def Look(self, user_id: "s", transaction_id: "s") -> "s":  # type: ignore[name-defined]  # noqa: N802, F821, UP037
        return json.dumps(await _told(self._verifying.look(user_id, transaction_id)))

    @method()
    async def Answer(self, user_id: "s", transaction_id: "s", is_same: "b"):  # type: ignore[name-defined, no-untyped-def]  # noqa: N802, F821, UP037
        await _acted(self._verifying.answer(user_id, transaction_id, is_same=is_same))

    @method()
    async def Cancel(self, user_id: "s", transaction_id: "s"):  # type: ignore[name-defined, no-untyped-def]  # noqa: N802, F821, UP037
        await _acted(self._verifying.cancel(user_id, transaction_id))

    @method()
    async def Unlock(self, user_id: "s", kind: "s", secret: "h") -> "b":  # type: ignore[name-defined]  # noqa: N802, F821, UP037
        # The descriptor is ours from its arrival on, also if the call is refused.
        return await _acted(self._unlock(user_id, kind, secret), lambda: os.close(secret))

    async def _unlock(self, user_id: str, kind: str, secret: int) -> bool:
        text = await asyncio.to_thread(_read_secret, secret)
        return await self._verifying.unlock(user_id, kind, text)


class VerificationClient:
    """A `Verifying` that has the running daemon do everything, over a connection of its own."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @classmethod
    async def connect(cls) -> VerificationClient | None:
        """Connects to the running daemon. None: there is no bus, or no daemon on the bus."""
        address = session_bus_address()
        if address is None:
            return None
        try:
            async with asyncio.timeout(_CONNECT_S):
                bus = await MessageBus(bus_address=address, negotiate_unix_fd=True).connect()
                client = cls(bus)
                reply = await client._send(
                    "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", "s", [BUS_NAME]
                )
        except (OSError, EOFError, ValueError, TimeoutError, DBusFastError):
            return None
        if reply.body != [True]:
            client.close()
            return None
        return client

    def close(self) -> None:
        """Closes the connection to the bus."""
        self._bus.disconnect()

    async def begin(self, user_id: str) -> str:
        return str(await self._ask("Begin", "s", [user_id]))

    async def look(self, user_id: str, transaction_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._ask("Look", "ss", [user_id, transaction_id]))
        return answer

    async def answer(self, user_id: str, transaction_id: str, *, is_same: bool) -> None:
        await self._ask("Answer", "ssb", [user_id, transaction_id, is_same])

    async def cancel(self, user_id: str, transaction_id: str) -> None:
        await self._ask("Cancel", "ss", [user_id, transaction_id])

    async def unlock(self, user_id: str, kind: str, secret: str) -> bool:
        reading = await asyncio.to_thread(_write_secret, secret)
        try:
            return bool(await self._ask("Unlock", "ssh", [user_id, kind, 0], [reading]))
        finally:
            os.close(reading)

    async def _ask(self, member: str, signature: str, body: list[Any], fds: list[int] | None = None) -> Any:
        try:
            async with asyncio.timeout(_CALL_S):
                reply = await self._send(BUS_NAME, OBJECT_PATH, INTERFACE, member, signature, body, fds)
        except (OSError, EOFError, ValueError, TimeoutError, DBusFastError):
            cure = f"Restart it: {await asyncio.to_thread(to_restart)}"
            raise UserError("The running Heliograph does not answer.", cure) from None
        if reply.message_type is MessageType.METHOD_RETURN:
            return reply.body[0] if reply.body else None
        text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
        if reply.error_name == ERROR:
            title, hint, code = (*text.split("\n", 2), "", "")[:3]
            exit_code = EXIT_USAGE if code == str(EXIT_USAGE) else EXIT_FAILED
            raise UserError(title, hint or "See `heliograph status`.", exit_code=exit_code)
        if reply.error_name in NOBODY:
            raise UserError("Heliograph has stopped meanwhile.", await asyncio.to_thread(to_start))
        cure = f"Restart it: {await asyncio.to_thread(to_restart)}"
        raise UserError(f"The running Heliograph did not do it: {text}", cure)

    async def _send(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: list[Any],
        fds: list[int] | None = None,
    ) -> Message:
        reply = await self._bus.call(
            Message(
                destination=destination,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
                flags=MessageFlag.NO_AUTOSTART,
                unix_fds=fds or [],
            )
        )
        # dbus-fast returns None only for messages that want no reply.
        assert reply is not None
        return reply


async def _told(work: Awaitable[T]) -> T:
    """Awaits `work`. A HeliographError becomes a D-Bus error that says what to do."""
    try:
        return await work
    except UserError as error:
        raise DBusError(ERROR, f"{error.title}\n{error.hint}\n{error.exit_code}") from error
    except HeliographError as error:
        raise DBusError(ERROR, f"It did not work: {error}.\nTry again later.") from error


async def _acted(work: Coroutine[Any, Any, T], forget: Callable[[], None] = lambda: None) -> T:
    """As `_told`, for what acts in the user's name: refuses callers that live in a sandbox. `forget` is called in that
    case, and releases what `work` would have released."""
    try:
        await _told(refuse_sandboxed())
    except BaseException:
        work.close()
        forget()
        raise
    return await _told(work)


def _write_secret(secret: str) -> int:
    """Writes the secret into a pipe, and returns the descriptor of the end from which it is read."""
    reading, writing = os.pipe()
    # Less than a pipe holds, so this does not block.
    os.write(writing, secret.encode(errors="replace")[:MAX_SECRET])
    os.close(writing)
    return reading


def _read_secret(descriptor: int) -> str:
    import select

    # The pipe comes from another program, which may never write into it.
    try:
        readable, _, _ = select.select([descriptor], [], [], _READ_S)
        return os.read(descriptor, MAX_SECRET).decode(errors="replace") if readable else ""
    finally:
        os.close(descriptor)
