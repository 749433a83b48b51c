"""How any part of an account tells the user of trouble, and asks a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from heliograph.core.notification import Notification


@dataclass(frozen=True, slots=True, eq=False)
class Cure:
    """A button of the notification that tells of trouble. Clicked, it takes the notification away and calls `begin`."""

    label: str
    begin: Callable[[], None]


class Troubles(Protocol):
    """Tells the user of trouble, as a notification."""

    def tell(self, title: str, hint: str, *, about: str = "", cure: Cure | None = None) -> None:
        """Shows what is wrong (`title`) and what to do (`hint`). `about` names a trouble that lasts: told once, it is
        not told again until it was withdrawn. `cure` adds a button, for what can be done by a click."""
        ...

    def withdraw(self, key: str) -> None:
        """Takes the notification of this trouble (`about`) back, since the trouble is over. Does nothing if it was not
        told."""
        ...


class Questions(Protocol):
    """Asks the user, with a notification."""

    def ask(self, key: str, notification: Notification, on_answer: Callable[[str], None]) -> None:
        """Shows a question. `on_answer` is called with the key of the action that the user chooses. A new question of
        the same `key` replaces the one on screen."""
        ...

    def withdraw(self, key: str) -> None:
        """Takes the question of this key back, since nobody needs the answer. Does nothing if it was not asked."""
        ...


class Notices(Troubles, Questions, Protocol):
    """All that the user is told and asked (`loops.delivery.notices.AccountNotices`)."""

    def withdraw(self, key: str) -> None:
        """Takes the trouble or the question of this key back."""
        ...
