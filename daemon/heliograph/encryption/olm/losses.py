"""Rows of crypto.db that cannot be read: what each has cost the user, said once."""

from __future__ import annotations

from enum import Enum


class Loss(Enum):
    """What such a row held. The value says what that means for the user."""

    SESSION = "Messages from another device may show no text until that device begins a new session."
    ROOM_KEY = "Messages of one room show no text, unless the key backup has their key."
    VAULT = "What verification or the key backup keeps here is gone. To renew it: heliograph verify"


class Losses:
    """Noted in the thread of crypto.db, and taken from there once."""

    def __init__(self) -> None:
        self._noted: set[tuple[Loss, str]] = set()
        self._untaken: list[tuple[Loss, str]] = []

    def note(self, loss: Loss, row: str) -> None:
        """`row` names the row in words that begin a sentence."""
        if (loss, row) not in self._noted:
            self._noted.add((loss, row))
            self._untaken.append((loss, row))

    def take(self) -> list[tuple[Loss, str]]:
        taken, self._untaken = self._untaken, []
        return taken
