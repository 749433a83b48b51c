"""The profile of a notification server: how popups must be shown there, so that they do what they are meant to do.

The profiles themselves, with their reasons, are in `core.popups.profiles`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from heliograph.core.notification import Urgency
from heliograph.core.popups.looks import USUAL, Looks


class Told(Enum):
    """Where a server tells whether it holds popups back: do not disturb, or notifications switched off."""

    NOWHERE = "nowhere"
    INHIBITED = "the property Inhibited"
    """Desktop Notifications Specification 1.3, as Plasma has it."""
    DUNST = "dunst's property paused"


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """What is known of one kind of notification server. The defaults are the safe profile, which harms on none."""

    name: str = "unknown"
    """The server's name for people."""
    reasons: tuple[str, ...] = ("nothing is known of this server: notifications are shown in the plainest way",)
    """What is particular about it, each a sentence for people."""
    quiet_urgency: Urgency | None = None
    """The urgency with which a change that nobody needs to see goes to the server's list alone; None: there is none,
    and the change keeps its own."""
    told: Told = Told.NOWHERE
    looks: Looks = USUAL

    def urgency(self, wanted: Urgency, *, is_update: bool) -> Urgency:
        """The urgency to send. What insists goes on insisting: a call rings until it is answered or ends."""
        if is_update and self.quiet_urgency is not None and wanted is not Urgency.CRITICAL:
            return self.quiet_urgency
        return wanted


SAFE = ServerProfile()
