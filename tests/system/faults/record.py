"""What the senders know of a run: what they sent, and what was read, changed and taken back on purpose."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Sent:
    """A message, or an invite."""

    number: int
    event_id: str
    room_id: str
    at_s: float
    is_loud: bool
    """Whether it has to ring, as the senders see it."""
    author: str = ""
    is_encrypted: bool = False
    is_invite: bool = False
    version: int = 0
    edits_s: list[float] = field(default_factory=list)
    redacted_s: float | None = None
    read_s: float | None = None
    is_answered: bool = False
    """The user has written in its room since, elsewhere, which reads it."""
    """When the first receipt at it or at something later was taken by the homeserver; of an invite: its end."""


@dataclass
class Record:
    """Times are of the monotonic clock of whoever runs the test, in seconds."""

    sent: list[Sent] = field(default_factory=list)

    def note_sent(self, sent: Sent) -> None:
        self.sent.append(sent)

    def of_room(self, room_id: str) -> list[Sent]:
        """Messages that can be edited, read or redacted, in the order in which they were answered."""
        return [each for each in self.sent if each.room_id == room_id and not each.is_invite]

    def note_answered(self, room_id: str) -> None:
        """A message of our own was taken: it reads what was sent before in its room."""
        before = self.of_room(room_id)
        for each in before:
            each.is_answered = True
        if before:
            self.note_read(max(before, key=lambda each: each.at_s))

    def note_read(self, target: Sent) -> None:
        """A receipt at this message was taken: it covers what was sent before."""
        now = time.monotonic()
        for each in self.of_room(target.room_id):
            if each.at_s <= target.at_s and each.read_s is None:
                each.read_s = now
