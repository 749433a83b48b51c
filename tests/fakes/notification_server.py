"""A notification server on a private bus: behaves and refuses like one of the real ones, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from fakes.notification_banners import Banners, Shown
from fakes.notification_inhibition import BUDGIE_NAME, inhibition_answer, inhibition_signal
from fakes.notification_profiles import DUNST, Profile

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
DRIVER = "org.freedesktop.DBus"
_SIGNATURES = {
    "GetCapabilities": "",
    "GetServerInformation": "",
    "Notify": "susssasa{sv}i",
    "CloseNotification": "u",
}
_ALIKE_S = 1.0
_INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
_UNKNOWN = "org.freedesktop.DBus.Error.UnknownMethod"


class Misbehaviour(Enum):
    """What can be wrong with a server."""

    NONE = "none"
    HANG = "hang"
    """No call is ever answered."""
    HANG_ON_NOTIFY = "hang on notify"
    FAIL = "fail"
    """Every call is answered by an error of no known meaning."""
    REFUSE = "refuse"
    """Notify is answered by InvalidArgs."""
    EXCESS = "excess"
    """Notify is answered as Plasma does to repetitions."""
    STARTING = "starting"
    """It has its name, but its object is not there yet."""
    DIE = "die"
    """It is gone the moment Notify arrives."""
    CLOSE_AT_ONCE = "close at once"
    """NotificationClosed follows the answer to Notify without a pause, as with "do not disturb"."""
    REUSE_IDS = "reuse ids"
    """Every notification gets the same id."""
    NONSENSE = "nonsense"
    """Answers have the wrong types."""


_ERRORS = {
    Misbehaviour.FAIL: "org.freedesktop.DBus.Error.Failed",
    Misbehaviour.REFUSE: _INVALID,
    Misbehaviour.EXCESS: "org.freedesktop.Notifications.Error.ExcessNotificationGeneration",
    Misbehaviour.STARTING: _UNKNOWN,
}


@dataclass
class NotificationServer:
    """Start it, let something notify, look at `shown` (every Notify) and `on_screen`, and act as the user would."""

    address: str
    profile: Profile = DUNST
    misbehaviour: Misbehaviour = Misbehaviour.NONE
    is_inhibited: bool = False
    """Do not disturb, as Plasma and dunst tell it."""
    shown: list[Shown] = field(default_factory=list)
    on_screen: dict[int, Shown] = field(default_factory=dict)
    listed: dict[int, Shown] = field(default_factory=dict)
    """What expired and moved into the list."""
    pictures: dict[int, Any] = field(default_factory=dict)
    """The picture beside each notification, on screen or in the list."""
    clickable: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The keys of the actions that its user can choose there."""
    calls: list[str] = field(default_factory=list)
    """Names of the methods called, in order."""
    banners: Banners = field(init=False)
    """What came up before the user's eyes, and what was heard."""
    _bus: MessageBus | None = None
    _next_id: int = 1
    _last: tuple[Shown, float] | None = None
    """What was shown last, and when, in s of the event loop."""
    _held: list[Message] = field(default_factory=list)
    _timers: dict[int, asyncio.TimerHandle] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.banners = Banners(self.profile)

    async def start(self) -> None:
        """Connects and takes the name; ids start anew."""
        await self.connect()
        assert self._bus is not None
        self._bus.add_message_handler(self._answer)
        self._next_id = 1
        self._clear()
        self._held.clear()
        self.banners = Banners(self.profile, self.banners.came_up, self.banners.heard)
        await self._bus.request_name(NAME)
        if self.profile.told == "budgie":
            await self._bus.request_name(BUDGIE_NAME)

    async def connect(self) -> None:
        """Only connects: somebody on the bus who serves nothing."""
        self._bus = await MessageBus(bus_address=self.address).connect()
        if self.profile.drops_with_program:
            rule = f"type='signal',sender='{DRIVER}',interface='{DRIVER}',member='NameOwnerChanged'"
            await self._bus.call(
                Message(DRIVER, "/org/freedesktop/DBus", DRIVER, "AddMatch", signature="s", body=[rule])
            )

    async def stop(self) -> None:
        """Gone, with all that was on screen."""
        bus, self._bus = self._bus, None
        self._clear()
        if bus is not None:
            bus.disconnect()
            with contextlib.suppress(EOFError, OSError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def hang_up(self) -> None:
        """Cuts the connection without waiting for anything."""
        assert self._bus is not None
        self._bus.disconnect()

    async def restart(self, profile: Profile | None = None) -> None:
        """Another life, perhaps of another server."""
        await self.stop()
        self.profile = profile or self.profile
        await self.start()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns as soon as `condition` holds; it is looked at after every call."""
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def all_sent(self) -> None:
        """Returns when the bus has all that was signalled so far."""
        assert self._bus is not None
        await self._bus.call(Message(DRIVER, "/org/freedesktop/DBus", DRIVER, "GetId"))

    def release(self) -> None:
        """Answers what HANG_ON_NOTIFY held back."""
        held, self._held = self._held, []
        self.misbehaviour = Misbehaviour.NONE
        for message in held:
            self._send(self._notify(message))

    def act(self, popup_id: int, action: str = "default", token: str | None = None) -> None:
        """The user clicks an action of what is on screen, or in the list."""
        assert action in self.clickable[popup_id], f"no action {action} is offered"
        receiver = self._sender_of(popup_id)
        if token is not None and self.profile.gives_tokens:
            self._signal("ActivationToken", "us", [popup_id, token], receiver)
        self._signal("ActionInvoked", "us", [popup_id, action], receiver)
        if self.profile.closes_on_action:
            self._close(popup_id, 2)

    def reply(self, popup_id: int, text: str, *, is_closed_first: bool = False) -> None:
        """The user types an answer into it, which it has to offer."""
        assert "inline-reply" in self.on_screen[popup_id].actions
        receiver = self._sender_of(popup_id)
        if is_closed_first:
            self._close(popup_id, 2)
        # Plasma sends what was typed to the program that asked alone.
        self.signal("NotificationReplied", "us", [popup_id, text], receiver)
        if not is_closed_first:
            self._close(popup_id, 2)

    def dismiss(self, popup_id: int) -> None:
        """The user closes what is on screen, or in the list."""
        assert popup_id in self.on_screen or popup_id in self.listed
        self._close(popup_id, 2)

    def expire(self, popup_id: int) -> None:
        """The time of what is on screen is over."""
        assert popup_id in self.on_screen
        self._close(popup_id, 1)

    def signal(self, member: str, signature: str, body: list[Any], receiver: str | None = None) -> None:
        """Any signal at all, to everyone or to one."""
        message = Message.new_signal(PATH, NAME, member, signature, body)
        message.destination = receiver
        self._send(message)

    def inhibit(self, is_on: bool) -> None:
        """The user switches "do not disturb"."""
        self.is_inhibited = is_on
        if (signal := inhibition_signal(self.profile.told, is_on=is_on, count=len(self.on_screen))) is not None:
            self._send(signal)

    def _answer(self, message: Message) -> bool:
        if message.member == "NameOwnerChanged" and not message.body[2]:
            self._drop(message.body[0])
        is_on, count = self.is_inhibited, len(self.on_screen)
        if (answer := inhibition_answer(message, self.profile.told, is_on=is_on, count=count)) is not None:
            self._send(answer)
            return True
        if message.message_type is not MessageType.METHOD_CALL or message.interface != NAME:
            return False
        if message.path != PATH or message.member not in _SIGNATURES:
            self._send(Message.new_error(message, _UNKNOWN, "no such method"))
            return True
        self.calls.append(str(message.member))
        self._changed.set()
        is_notify = message.member == "Notify"
        match self.misbehaviour:
            case Misbehaviour.HANG:
                return True
            case Misbehaviour.HANG_ON_NOTIFY if is_notify:
                self._held.append(message)
                return True
            case Misbehaviour.DIE if is_notify and self._bus is not None:
                self._bus.disconnect()
                return True
            case Misbehaviour.FAIL | Misbehaviour.STARTING:
                self._send(Message.new_error(message, _ERRORS[self.misbehaviour], "not today"))
                return True
            case Misbehaviour.REFUSE | Misbehaviour.EXCESS if is_notify:
                self._send(Message.new_error(message, _ERRORS[self.misbehaviour], "not this"))
                return True
            case Misbehaviour.NONSENSE:
                self._send(Message.new_method_return(message, "d", [0.5]))
                return True
        self._serve(message)
        return True

    def _serve(self, message: Message) -> None:
        if message.signature != _SIGNATURES[str(message.member)]:
            name = _UNKNOWN if self.profile.knows_no_overloads else _INVALID
            self._send(Message.new_error(message, name, f"not its arguments: '{message.signature}'"))
            return
        about = {"Notify": 1, "CloseNotification": 0}.get(str(message.member))
        if about is not None and self._is_guarded(message.body[about], str(message.sender)):
            self._send(Message.new_error(message, _INVALID, "Invalid notification ID"))
            return
        match message.member:
            case "GetCapabilities":
                self._send(Message.new_method_return(message, "as", [list(self.profile.capabilities)]))
            case "GetServerInformation":
                words = [self.profile.name, self.profile.vendor, self.profile.version, "1.2"]
                self._send(Message.new_method_return(message, "ssss", words))
            case "Notify":
                self._send(self._notify(message))
                if self.misbehaviour is Misbehaviour.CLOSE_AT_ONCE:
                    self.expire(self.shown[-1].id)
            case "CloseNotification":
                self._close_by_call(message)

    def _notify(self, message: Message) -> Message:
        app_name, replaces_id, app_icon, summary, body, actions, hints, expire_timeout = message.body
        popup_id = self._choose_id(replaces_id)
        if refusal := self.profile.refusal(actions, hints):
            return Message.new_error(message, refusal, "Operation not permitted")
        plain = {name: variant.value for name, variant in hints.items()}
        sender = str(message.sender)
        shown = Shown(popup_id, replaces_id, app_name, app_icon, summary, body, actions, plain, expire_timeout, sender)
        if self._is_just_shown(shown) and self.profile.refuses_alike and not replaces_id:
            return Message.new_error(message, _ERRORS[Misbehaviour.EXCESS], "too many similar notifications")
        self.shown.append(shown)
        if self.profile.stacks_alike and not replaces_id:
            for alike in [each.id for each in self.on_screen.values() if each.is_like(shown)]:
                self._close(alike, 1)
        self._take_picture(shown)
        before = self.clickable.get(popup_id, ()) if popup_id in self.on_screen else ()
        self.clickable[popup_id] = self.profile.clickable(actions, before)
        if popup_id in self.listed:
            # Its list alone changes.
            self.listed[popup_id] = shown
            return Message.new_method_return(message, "u", [popup_id])
        self.banners.take(shown, self.on_screen.get(popup_id), is_held=self.is_inhibited)
        self.on_screen[popup_id] = shown
        of_sender = [each.id for each in self.on_screen.values() if each.sender == sender]
        if 0 < self.profile.most < len(of_sender):
            self._close(of_sender[0], 1)
        self._time(popup_id, expire_timeout)
        return Message.new_method_return(message, "u", [popup_id])

    def _is_just_shown(self, shown: Shown) -> bool:
        """Remembers it, and returns whether it is as what was shown within the last second."""
        now = asyncio.get_running_loop().time()
        before, self._last = self._last, (shown, now)
        return before is not None and before[0].is_like(shown) and now - before[1] < _ALIKE_S

    def _choose_id(self, replaces_id: int) -> int:
        if self.profile.replaces_nothing:
            replaces_id = 0
        if (
            replaces_id in self.on_screen
            or replaces_id in self.listed
            or (replaces_id and self.profile.keeps_unknown_ids)
            or (self.profile.keeps_given_ids and 0 < replaces_id < self._next_id)
        ):
            return replaces_id
        popup_id = self._next_id
        if self.misbehaviour is not Misbehaviour.REUSE_IDS:
            self._next_id += 1
        return popup_id

    def _time(self, popup_id: int, expire_timeout: int) -> None:
        """What the server would choose itself is for ever here, as in the settings of the real ones."""
        if (timer := self._timers.pop(popup_id, None)) is not None:
            timer.cancel()
        if expire_timeout > 0 and not self.profile.keeps_silently:
            loop = asyncio.get_running_loop()
            self._timers[popup_id] = loop.call_later(expire_timeout / 1000, self._close, popup_id, 1)

    def _clear(self) -> None:
        for popup_id in tuple(self._timers):
            self._time(popup_id, 0)
        self.on_screen.clear()
        self.listed.clear()
        self.pictures.clear()
        self.clickable.clear()

    def _take_picture(self, shown: Shown) -> None:
        picture = shown.hints.get("image-data")
        if picture is not None or not self.profile.keeps_old_picture:
            self.pictures[shown.id] = picture

    def _close_by_call(self, message: Message) -> None:
        popup_id = message.body[0]
        self._send(Message.new_method_return(message))
        if popup_id in self.on_screen or popup_id in self.listed or self.profile.tells_of_gone:
            self._close(popup_id, 3)

    def _close(self, popup_id: int, reason: int) -> None:
        receiver = self._sender_of(popup_id)
        shown = self.on_screen.pop(popup_id, None)
        self.listed.pop(popup_id, None)
        if shown is not None and reason == 1 and self.profile.lists_expired:
            self.listed[popup_id] = shown
        else:
            self.pictures.pop(popup_id, None)
            self.clickable.pop(popup_id, None)
        self._time(popup_id, 0)
        self._signal("NotificationClosed", "uu", [popup_id, reason], receiver)
        if self.profile.closes_twice:
            self._signal("NotificationClosed", "uu", [popup_id, 5 - reason], receiver)
        self._changed.set()

    def _drop(self, sender: str) -> None:
        """This program is gone."""
        if self.profile.drops_with_program:
            known = [each for each in self.on_screen.values() if "desktop-entry" in each.hints]
            for popup_id in [each.id for each in known if each.sender == sender]:
                del self.on_screen[popup_id]
                self._time(popup_id, 0)
            self._changed.set()

    def _is_guarded(self, popup_id: int, sender: str) -> bool:
        return self.profile.guards_owners and self._sender_of(popup_id) not in (None, sender)

    def _sender_of(self, popup_id: int) -> str | None:
        shown = self.on_screen.get(popup_id, self.listed.get(popup_id))
        return None if shown is None else shown.sender

    def _signal(self, member: str, signature: str, body: list[Any], receiver: str | None) -> None:
        receivers = [receiver, None] if self.profile.signals_twice and receiver else [None]
        if self.profile.tells_owner_alone:
            receivers = [receiver]
        for destination in receivers:
            self.signal(member, signature, body, destination)

    def _send(self, message: Message) -> None:
        if self._bus is not None and self._bus.connected:
            self._bus.send(message)
