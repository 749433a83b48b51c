"""A desktop in memory: what is on screen, what the user does there, and every way of saying no."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.notification import (
    Activated,
    Closed,
    Closing,
    DesktopSignal,
    DoNotDisturb,
    Notification,
    Popup,
    Replied,
    ServerChanged,
)
from heliograph.core.popups.profile import SAFE
from heliograph.core.popups.quiet import DO_NOT_DISTURB

Trouble = RetryLater | Declined | NeedsUser


@dataclass(frozen=True, slots=True)
class Showing:
    """One call of `show` that was done."""

    notification: Notification
    popup: Popup
    replaces: Popup | None


class FakeDesktop:
    """`ports.Desktop`. `troubles` are the outcomes of the next calls of `show`, `close_troubles` of `close`."""

    name = "fake"

    def __init__(self) -> None:
        self.shown: list[Showing] = []
        self.on_screen: dict[int, Notification] = {}
        self.troubles: deque[Trouble] = deque()
        self.close_troubles: deque[Trouble] = deque()
        self.calls = 0
        """Of `show`, whatever became of them."""
        self.is_inhibited = False
        self.profile = SAFE
        self._life: str | None = "fake:1"
        self._lives = 1
        self._last_id = 0
        self._listeners: list[Callable[[DesktopSignal], None]] = []
        self._answering = asyncio.Event()
        self._answering.set()

    # The port

    @property
    def server_name(self) -> str | None:
        return None if self._life is None else "a fake server"

    @property
    def why_inhibited(self) -> str:
        return DO_NOT_DISTURB if self.is_inhibited else ""

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        self._listeners.append(listener)
        listener(ServerChanged(self._life))
        if self.is_inhibited:
            listener(DoNotDisturb(True))

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser:
        self.calls += 1
        life = self._life
        await self._answering.wait()
        if self.troubles:
            return self.troubles.popleft()
        if life is None or life != self._life:
            return RetryLater(None, "no notification server is running")
        is_replacing = replaces is not None and replaces.server == life and replaces.id in self.on_screen
        popup = replaces if replaces is not None and is_replacing else Popup(life, self._new_id())
        self.on_screen[popup.id] = notification
        self.shown.append(Showing(notification, popup, replaces))
        return Done(popup)

    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser:
        await self._answering.wait()
        if self.close_troubles:
            return self.close_troubles.popleft()
        if popup.server == self._life:
            self._close(popup.id, Closing.CALLED)
        return Done(None)

    async def shut(self) -> None:
        self._listeners.clear()

    # What the user and the server do

    @property
    def bodies(self) -> list[str]:
        """What is on screen, oldest popup first."""
        return [notification.body for notification in self.on_screen.values()]

    def popup(self, popup_id: int) -> Popup:
        assert self._life is not None
        return Popup(self._life, popup_id)

    def click(self, popup_id: int, token: str | None = None) -> None:
        """As on dunst and mako, the popup stays."""
        self.signal(Activated(self.popup(popup_id), "default", token))

    def press(self, label: str) -> None:
        """The button of this name, on the newest popup that has it. The popup stays."""
        popup_id, key = [
            (popup_id, action.key)
            for popup_id, notification in self.on_screen.items()
            for action in notification.actions
            if action.label == label
        ][-1]
        self.signal(Activated(self.popup(popup_id), key))

    def type(self, popup_id: int, text: str) -> None:
        """An answer into the popup, which stays."""
        self.signal(Replied(self.popup(popup_id), text))

    def dismiss(self, popup_id: int) -> None:
        self._close(popup_id, Closing.DISMISSED)

    def expire(self, popup_id: int) -> None:
        self._close(popup_id, Closing.EXPIRED)

    def hang(self) -> None:
        """No call is answered until `answer`."""
        self._answering.clear()

    def answer(self) -> None:
        self._answering.set()

    def vanish(self) -> None:
        """The server goes, and with it what is on screen."""
        self._life = None
        self.on_screen.clear()
        self.signal(ServerChanged(None))

    def appear(self) -> None:
        """Another life of the server; its ids begin anew."""
        self._lives += 1
        self._life, self._last_id = f"fake:{self._lives}", 0
        self.on_screen.clear()
        self.signal(ServerChanged(self._life))

    def signal(self, signal: DesktopSignal) -> None:
        """Anything at all."""
        for listener in tuple(self._listeners):
            listener(signal)

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _close(self, popup_id: int, reason: Closing) -> None:
        if self.on_screen.pop(popup_id, None) is not None:
            self.signal(Closed(self.popup(popup_id), reason))
