"""The profile of a notification server: how popups must be shown there, so that they do what they are meant to do.

The profiles themselves, with their reasons, are in `core.popups.profiles`.
"""

from __future__ import annotations

from enum import Enum

from heliograph.core.notification import Notification, Urgency
from heliograph.core.popups.looks import USUAL, Looks
from heliograph.core.value_type import value_type

SOUND_NAME, SOUND_FILE = "sound-name", "sound-file"
"""Hints for sounds: a name of the sound theme, and a file."""


class Update(Enum):
    """How a notification that is on screen gets new contents."""

    REPLACE = "replace"
    """By Notify with its id (`replaces_id`)."""
    RENEW = "renew"
    """By CloseNotification, and Notify without an id: a replacement may come to nobody's notice."""


class Expiry(Enum):
    """What it means that a notification expired (NotificationClosed with the reason 1)."""

    GONE = "gone"
    """Its id means nothing any more."""
    LISTED = "listed"
    """It moved into the server's list, where its id closes it, and changes it without bringing it up."""


class Told(Enum):
    """Where a server tells whether it holds popups back: do not disturb, or notifications switched off."""

    NOWHERE = "nowhere"
    GNOME = "GNOME's settings"
    CINNAMON = "Cinnamon's settings"
    MATE = "MATE's settings"
    XFCE = "Xfce's settings"
    LXQT = "LXQt's configuration file"
    SWAYNC = "swaync's own interface"
    BUDGIE = "Budgie's own interface"
    MAKO = "mako's modes"
    """The user names these: one that is called "do-not-disturb", as in mako's manual, or "dnd" counts."""
    INHIBITED = "the property Inhibited"
    """Desktop Notifications Specification 1.3, as Plasma has it."""
    DUNST = "dunst's property paused"


@value_type
class Layout:
    """How the lines of a popup stand together."""

    is_newest_first: bool = False
    """True where only the first line is seen at first."""
    line_break: str = "\n"
    """What stands between two lines: another mark, where the server makes line breaks spaces."""


@value_type
class ServerProfile:
    """What is known of one kind of notification server. The defaults are the safe profile, which harms on none."""

    name: str = "unknown"
    """The server's name for people."""
    reasons: tuple[str, ...] = ("nothing is known of this server: notifications are shown in the plainest way",)
    """What is particular about it, each a sentence for people."""
    news: Update = Update.REPLACE
    """How a popup gets what is new in it."""
    changes: Update = Update.REPLACE
    """How a popup is changed that has nothing new: a message was edited, or read elsewhere."""
    quiet_urgency: Urgency | None = None
    """The urgency with which a change that nobody needs to see goes to the server's list alone; None: there is none,
    and the change keeps its own."""
    question_urgency: Urgency | None = None
    """The urgency of what is asked, so that its buttons are seen at once; None: the same as of everything else."""
    forgets_with_program: bool = False
    """True if the server drops a program's notifications when that program's connection to the bus ends."""
    is_filled_again: bool = False
    """True if what was on screen before a restart is shown again, since it can be without that anybody is disturbed."""
    expiry: Expiry = Expiry.GONE
    keeps_old_picture: bool = False
    """True if a replacement without a picture shows that of what it replaces: somebody else's beside new words."""
    layout: Layout = Layout()
    told: Told = Told.NOWHERE
    holds_critical: bool = False
    """True if do not disturb also holds back what is critical."""
    sound_hints: frozenset[str] = frozenset({SOUND_NAME, SOUND_FILE})
    """The hints by which it is asked for a sound, if it says that it plays sounds. What it has no hint for we play."""
    draws_click: bool = False
    """True if the click on a popup itself is a button there, "Open"."""
    drops_after_click: bool = False
    """True if it shows no button for the action that follows the click: then the click comes last."""
    most_buttons: int | None = None
    """So many buttons it shows, the click itself among them where that is one; None: any that we have."""
    longest_label: int | None = None
    """Characters of a label that can be read on a button, of as many as there may be; None: of any that we have."""
    is_reply_configured: bool = False
    """True if the server says that answers can be typed into its popups, and its configuration decides whether they
    can."""
    quiet_ms: int | None = None
    """For how long a changed popup is up that nobody needs to see, in ms; None: as long as the server likes. After that
    it is in the server's list."""
    looked_at: str = ""
    """The versions that this is about, for people."""
    looks: Looks = USUAL

    def urgency(self, notification: Notification) -> Urgency:
        """The urgency to send. What insists goes on insisting: a call rings until it is answered or ends."""
        if notification.is_update and self.quiet_urgency is not None and notification.urgency is not Urgency.CRITICAL:
            return self.quiet_urgency
        if notification.is_question and self.question_urgency is not None:
            return self.question_urgency
        return notification.urgency

    def update(self, *, is_update: bool) -> Update:
        """How the popup that is on screen gets these contents."""
        return self.changes if is_update else self.news


SAFE = ServerProfile()
