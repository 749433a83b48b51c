"""Talks to the Secret Service over D-Bus: calls with a time-out, prompts, and signals of a change.

https://specifications.freedesktop.org/secret-service/latest/
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from heliograph.errors import EXIT_CONFIG, SecretsLocked, UserError
from heliograph.system.session_bus import session_bus_address
from heliograph.system.tasks import start

SERVICE = "org.freedesktop.secrets"
ROOT = "/org/freedesktop/secrets"
NOWHERE = "/"
"""The object path that stands for "no such object", by the specification."""

_BUS = "org.freedesktop.DBus"
_CALL_S = 10.0
_CONNECT_S = 5.0
_CHANGES = (
    "NameOwnerChanged",
    "PropertiesChanged",
    "CollectionChanged",
    "CollectionCreated",
    "CollectionDeleted",
    "ItemChanged",
    "ItemCreated",
)
_OF_OTHERS = ("ItemCreated", "CollectionCreated", "CollectionDeleted")
"""KeyringChanges that unlock nothing that was there before: other programs save their secrets all the time."""
# Ends of D-Bus error names. The bus itself answers with these if nothing has the name, or starting it failed.
_ABSENT = ("ServiceUnknown", "NameHasNoOwner", "Spawn.")


class KeyringUnavailable(UserError):
    """There is no session bus, no Secret Service on it, or one that does not work. Any of them may come back."""

    def __init__(self, title: str) -> None:
        super().__init__(
            title,
            "Start a keyring (gnome-keyring, KWallet, KeePassXC) in this session, or log in with --secrets file.",
            exit_code=EXIT_CONFIG,
        )


class KeyringAbsent(KeyringUnavailable):
    """There is a session bus, and no Secret Service on it."""


class KeyringSilent(KeyringUnavailable):
    """The Secret Service or the session bus does not answer, or not as it should."""


class KeyringChanges:
    """The changes of the keyring that nobody has waited for yet."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._items: set[object] = set()
        self._is_wide = False

    def note(self, member: str, body: Sequence[object]) -> None:
        """Takes a signal: its name and what it says."""
        if member == "ItemChanged":
            self._items.update(body[:1])
        elif member not in _OF_OTHERS:
            self._is_wide = True
        self._changed.set()

    async def wait(self) -> None:
        """Returns when something has changed since the last call."""
        await self._changed.wait()

    def take(self, items: Collection[str]) -> bool:
        """Forgets the changes up to now, and returns whether they may have unlocked one of these items."""
        is_theirs = self._is_wide or not self._items.isdisjoint(items)
        self._changed.clear()
        self._items.clear()
        self._is_wide = False
        return is_theirs


@contextlib.asynccontextmanager
async def connect(bus_address: str | None) -> AsyncIterator[SecretBus]:
    """Connects to the session bus for the length of the block. Raises KeyringUnavailable."""
    address = bus_address or session_bus_address()
    if address is None:
        raise KeyringUnavailable("There is no session bus, so there is no keyring to ask.")
    try:
        async with asyncio.timeout(_CONNECT_S):
            bus = await MessageBus(bus_address=address).connect()
    except (OSError, EOFError, ValueError, TimeoutError, DBusFastError) as error:
        raise KeyringSilent("The session bus does not answer, so there is no keyring to ask.") from error
    gone = start(_disconnected(bus), name="end of a bus connection")
    try:
        yield SecretBus(bus, gone)
    finally:
        bus.disconnect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONNECT_S):
                await gone


async def _disconnected(bus: MessageBus) -> None:
    with contextlib.suppress(OSError, EOFError):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


class SecretBus:
    """Calls the service. A call ends within 10 s; a prompt within the time that its caller gives it."""

    def __init__(self, bus: MessageBus, gone: asyncio.Task[None]) -> None:
        self._bus = bus
        self._gone = gone

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> Sequence[Any]:
        """Calls a method of the service and returns the values of its reply. `interface` is given without its
        beginning, `org.freedesktop.`.

        Raises SecretsLocked, KeyringAbsent, or KeyringUnavailable for anything else that goes wrong.
        """
        return await self._call(SERVICE, path, interface, member, signature, body)

    async def property(self, path: str, interface: str, name: str) -> Any:
        """Reads a property. Raises as `call` does."""
        (variant,) = await self.call(path, "DBus.Properties", "Get", "ss", f"org.freedesktop.{interface}", name)
        return variant.value

    async def answer_prompt(self, prompt: str, within_s: float) -> Any:
        """Lets the service ask the user, and returns the prompt's result. Raises SecretsLocked if the user declines, or
        has not answered after `within_s` seconds."""
        completed: asyncio.Future[Sequence[Any]] = asyncio.get_running_loop().create_future()

        def listen(message: Message) -> None:
            if message.path == prompt and message.member == "Completed" and not completed.done():
                completed.set_result(message.body)

        # The listener stands before the call to Prompt: a keyring may complete the prompt at once.
        with self._listening(listen):
            await self._match(f"type='signal',sender='{SERVICE}',path='{prompt}',member='Completed'")
            await self.call(prompt, "Secret.Prompt", "Prompt", "s", "")
            try:
                async with asyncio.timeout(within_s):
                    is_dismissed, result = await completed
            except TimeoutError:
                # Else the window stays open, and its late answer unlocks a keyring that nobody asks any more.
                with contextlib.suppress(KeyringUnavailable, SecretsLocked):
                    await self.call(prompt, "Secret.Prompt", "Dismiss")
                raise SecretsLocked("nobody answered the keyring's question") from None
        if is_dismissed:
            raise SecretsLocked("the keyring was not unlocked")
        return result.value

    @contextlib.asynccontextmanager
    async def changes(self) -> AsyncIterator[KeyringChanges]:
        """Listens while the block lasts to whether the service starts, ends, or says that a collection or item changed.

        The end of the connection to the bus counts as a change; the next call then raises KeyringUnavailable.
        """
        changes = KeyringChanges()

        def listen(message: Message) -> None:
            if message.member in _CHANGES:
                changes.note(message.member, message.body)

        def leave(_: asyncio.Task[None]) -> None:
            changes.note("Disconnected", ())

        self._gone.add_done_callback(leave)
        try:
            with self._listening(listen):
                await self._match(f"type='signal',sender='{SERVICE}'")
                await self._match(f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{SERVICE}'")
                yield changes
        finally:
            self._gone.remove_done_callback(leave)

    @contextlib.contextmanager
    def _listening(self, listen: Callable[[Message], None]) -> Iterator[None]:
        def only_signals(message: Message) -> None:
            if message.message_type is MessageType.SIGNAL:
                listen(message)

        self._bus.add_message_handler(only_signals)
        try:
            yield
        finally:
            self._bus.remove_message_handler(only_signals)

    async def _match(self, rule: str) -> None:
        # Never removed: the subscription ends with the connection, which serves one purpose.
        await self._call(_BUS, "/org/freedesktop/DBus", "DBus", "AddMatch", "s", (rule,))

    async def _call(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: Sequence[object]
    ) -> Sequence[Any]:
        message = Message(
            destination=destination,
            path=path,
            interface=f"org.freedesktop.{interface}",
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            if self._gone.done():
                # dbus-fast would leave behind a future that nobody awaits.
                raise EOFError
            async with asyncio.timeout(_CALL_S):
                reply = await self._bus.call(message)
        except TimeoutError:
            raise KeyringSilent(f"The keyring did not answer within {_CALL_S:.0f} seconds ({member}).") from None
        except (OSError, EOFError, DBusFastError) as error:
            raise KeyringSilent("The session bus is gone, and the keyring with it.") from error
        if reply is None:
            raise KeyringSilent(f"The keyring gave no answer ({member}).")
        if reply.message_type is MessageType.ERROR:
            raise _failure(reply, member)
        return reply.body


def _failure(reply: Message, member: str) -> SecretsLocked | KeyringUnavailable:
    name = reply.error_name or ""
    if name.endswith(".IsLocked"):
        return SecretsLocked("the keyring is locked")
    if any(absent in name for absent in _ABSENT):
        return KeyringAbsent("There is no keyring (Secret Service) in this session.")
    return KeyringSilent(f"The keyring refused {member}: {name}.")
