"""How any part of an account tells the user of trouble."""

from __future__ import annotations

from typing import Protocol


class Troubles(Protocol):
    """Tells the user of trouble, as a notification (`loops.delivery.notices.Notices`)."""

    def tell(self, title: str, hint: str, *, about: str = "") -> None:
        """Shows what is wrong (`title`) and what to do (`hint`). `about` names a trouble that lasts: told once, it is
        not told again until it was withdrawn."""
        ...

    def withdraw(self, about: str) -> None:
        """Takes the notification of this trouble back, since the trouble is over. Does nothing if it was not told."""
        ...
