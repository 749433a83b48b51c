"""Defines the interface io.github.heliograph.Daemon1 of the daemon's object on the session bus (docs/d-bus.md)."""

from __future__ import annotations

import json
from typing import Annotated, Any, Protocol

from dbus_fast.annotations import DBusBool, DBusInt64, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.constants import PropertyAccess
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from heliograph.control import INTERFACE
from heliograph.control.answering import DBusNothing, acting, answering
from heliograph.control.properties import to_count, to_properties, to_rooms
from heliograph.core.summary.summary import Summary
from heliograph.errors import UserError

LONGEST_TEXT = 65_536
"""The most characters of a reply: an event may have 65,536 bytes."""

DBusStates = Annotated[dict[str, str], DBusSignature("a{ss}")]
DBusRooms = Annotated[list[Any], DBusSignature("a(sssuu)")]
DBusRang = Annotated[list[Any], DBusSignature("sssssb")]


class Answers(Protocol):
    """What the daemon does when it is called (`app.daemon_api`). Raises UserError for mistakes of the caller and for
    what only the user can mend, and other HeliographErrors for what may work later."""

    async def status(self) -> Any:
        """A value that can be written as JSON; its shape is in docs/d-bus.md."""
        ...

    async def inbox(self) -> Any:
        """A value that can be written as JSON; its shape is in docs/d-bus.md."""
        ...

    async def open(self, account: str, room: str, token: str) -> None: ...
    async def mark_read(self, account: str, room: str) -> None: ...
    async def mark_all_read(self) -> int:
        """Marks every room with something unread as read, in all accounts. Returns the number of rooms."""
        ...

    async def reply(self, account: str, room: str, text: str) -> None: ...
    async def accept(self, account: str, room: str) -> None: ...
    async def decline(self, account: str, room: str) -> None: ...
    async def pause(self, words: str, *, is_everywhere: bool) -> int:
        """Pauses notifications until the time that `words` name; with `is_everywhere`, the user's other devices do not
        ring instead. Returns that time in ms since 1970, or UNTIL_RESUMED."""
        ...

    async def resume(self) -> None: ...
    async def erase_history(self, *, with_unread: bool) -> int: ...


class Daemon1(ServiceInterface):
    """The exported interface. `take` changes its properties and signals those that changed."""

    def __init__(self, answers: Answers, version: str, summary: Summary) -> None:
        super().__init__(INTERFACE)
        self._answers = answers
        self._version = version
        self._summary = summary

    def take(self, summary: Summary) -> None:
        """Replaces the values of all properties by those of this summary."""
        before, self._summary = to_properties(self._summary), summary
        # Only what changed: each signal wakes every bar that listens.
        changed = {name: value for name, value in to_properties(summary).items() if before[name] != value}
        if changed:
            self.emit_properties_changed(changed)

    # Methods

    @dbus_method()
    @answering
    async def Status(self) -> DBusStr:  # noqa: N802
        return json.dumps(await self._answers.status())

    @dbus_method()
    @answering
    async def Inbox(self) -> DBusStr:  # noqa: N802
        return json.dumps(await self._answers.inbox())

    @dbus_method()
    @acting
    async def Open(self, account: DBusStr, room: DBusStr, activation_token: DBusStr) -> DBusNothing:  # noqa: N802
        await self._answers.open(account, room, activation_token)

    @dbus_method()
    @acting
    async def MarkRead(self, account: DBusStr, room: DBusStr) -> DBusNothing:  # noqa: N802
        await self._answers.mark_read(account, room)

    @dbus_method()
    @acting
    async def MarkAllRead(self) -> DBusUInt32:  # noqa: N802
        return await self._answers.mark_all_read()

    @dbus_method()
    @acting
    async def Reply(self, account: DBusStr, room: DBusStr, text: DBusStr) -> DBusNothing:  # noqa: N802
        if not text.strip():
            raise UserError("There is nothing to send.", "Say something.")
        if len(text) > LONGEST_TEXT:
            raise UserError(f"The reply has {len(text)} characters.", f"Send at most {LONGEST_TEXT}.")
        await self._answers.reply(account, room, text)

    @dbus_method()
    @acting
    async def Accept(self, account: DBusStr, room: DBusStr) -> DBusNothing:  # noqa: N802
        await self._answers.accept(account, room)

    @dbus_method()
    @acting
    async def Decline(self, account: DBusStr, room: DBusStr) -> DBusNothing:  # noqa: N802
        await self._answers.decline(account, room)

    @dbus_method()
    @acting
    async def Pause(self, until: DBusStr) -> DBusInt64:  # noqa: N802
        return await self._answers.pause(until, is_everywhere=False)

    @dbus_method()
    @acting
    async def PauseEverywhere(self, until: DBusStr) -> DBusInt64:  # noqa: N802
        return await self._answers.pause(until, is_everywhere=True)

    @dbus_method()
    @acting
    async def Resume(self) -> DBusNothing:  # noqa: N802
        await self._answers.resume()

    @dbus_method()
    @acting
    async def EraseHistory(self, with_unread: DBusBool) -> DBusUInt32:  # noqa: N802
        return await self._answers.erase_history(with_unread=with_unread)

    # Signals

    @dbus_signal()
    def Rang(  # noqa: N802
        self, account: str, room: str, event: str, title: str, sender: str, *, is_highlight: bool
    ) -> DBusRang:
        return [account, room, event, title, sender, is_highlight]

    # Properties

    @dbus_property(access=PropertyAccess.READ)
    def Version(self) -> DBusStr:  # noqa: N802
        return self._version

    @dbus_property(access=PropertyAccess.READ)
    def State(self) -> DBusStr:  # noqa: N802
        return self._summary.state

    @dbus_property(access=PropertyAccess.READ)
    def Accounts(self) -> DBusStates:  # noqa: N802
        return dict(self._summary.accounts)

    @dbus_property(access=PropertyAccess.READ)
    def Unread(self) -> DBusUInt32:  # noqa: N802
        return to_count(self._summary.unread)

    @dbus_property(access=PropertyAccess.READ)
    def Highlights(self) -> DBusUInt32:  # noqa: N802
        return to_count(self._summary.highlights)

    @dbus_property(access=PropertyAccess.READ)
    def Rooms(self) -> DBusRooms:  # noqa: N802
        return to_rooms(self._summary)

    @dbus_property(access=PropertyAccess.READ)
    def PausedUntil(self) -> DBusInt64:  # noqa: N802
        return self._summary.paused_until_ms

    @dbus_property(access=PropertyAccess.READ)
    def QuietReason(self) -> DBusStr:  # noqa: N802
        return self._summary.quiet_why

    @dbus_property(access=PropertyAccess.READ)
    def QuietUntil(self) -> DBusInt64:  # noqa: N802
        return self._summary.quiet_until_ms

    @dbus_property(access=PropertyAccess.READ)
    def QuietEverywhere(self) -> DBusBool:  # noqa: N802
        return self._summary.is_quiet_everywhere

    @dbus_property(access=PropertyAccess.READ)
    def NotificationServer(self) -> DBusStr:  # noqa: N802
        return self._summary.notification_server
