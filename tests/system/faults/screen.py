"""The notification server of a run: it notes when each Notify was answered, and can be at fault."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Message

from fakes.notification_banners import LOW
from fakes.notification_server import Misbehaviour, NotificationServer

_TOKEN = re.compile(r"\bw(\d{4})v(\d+)\b")


def write_token(number: int, version: int = 0) -> str:
    """What a message says, so that it is known again on the screen."""
    return f"w{number:04d}v{version}"


def read_tokens(text: str) -> dict[int, int]:
    """The messages that a popup quotes, and in which version. Rooms that the user is invited to are called so, too."""
    return {int(number): int(version) for number, version in _TOKEN.findall(text)}


@dataclass(frozen=True, slots=True)
class Telling:
    """One Notify that was answered."""

    at_s: float
    popup: tuple[int, int]
    """Life of the server, and id."""
    title: str
    body: str
    is_heard: bool
    is_listed_only: bool = False
    """It went to the server's list, and came up before nobody's eyes: after a restart all is told so again."""

    @property
    def tokens(self) -> dict[int, int]:
        return read_tokens(f"{self.title}\n{self.body}")

    @property
    def quotes(self) -> int:
        """How many messages are quoted. A message and its edit, if that rang as well, say the same."""
        return len(_TOKEN.findall(self.body))


@dataclass
class Screen(NotificationServer):
    """See `NotificationServer`."""

    tellings: list[Telling] = field(default_factory=list)
    restarts_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    """When Notify calls were answered that had been held up."""
    lives: int = 0

    async def start(self) -> None:
        self.lives += 1
        await super().start()

    async def restart_in_order(self) -> None:
        """Another life, without faults."""
        self.misbehaviour = Misbehaviour.NONE
        await self.stop()
        self.restarts_s.append(time.monotonic())
        await self.start()

    def release(self) -> None:
        self.late_s.append(time.monotonic())
        super().release()

    def _notify(self, message: Message) -> Message:
        answer = super()._notify(message)
        shown = self.shown[-1]
        hints: dict[str, Any] = shown.hints
        is_heard = "sound-name" in hints and not hints.get("suppress-sound")
        now = time.monotonic()
        is_listed_only = self.profile.lists_low and shown.urgency == LOW
        telling = Telling(now, (self.lives, shown.id), shown.summary, shown.body, is_heard, is_listed_only)
        self.tellings.append(telling)
        return answer
