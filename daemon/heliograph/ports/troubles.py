"""Where the user is told of trouble."""

from __future__ import annotations

from typing import Protocol

from heliograph.core.pushers.pusher import Pusher as Pusher


class Troubles(Protocol):
    """Where the user is told of trouble (`loops.delivery.notices.Notices`)."""

    def tell(self, title: str, hint: str, *, about: str = "") -> None:
        """What is wrong, and what to do. `about` names trouble that lasts, and is told once until it is withdrawn."""
        ...

    def withdraw(self, about: str) -> None:
        """It is over: the next time is told anew. Nothing if it was not told."""
        ...
