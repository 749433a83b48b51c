"""How notification servers differ, as measured: the fake goes by it, and real ones are held to it where they run here.

dunst 1.9, mako 1.7 and xfce4-notifyd 0.7 run in tests/contract/test_notification_server.py; of GNOME Shell, Plasma and
swaync this is what was measured on them elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dbus_fast import Variant

WRONG_KIND = "System.Error.ENXIO"
"""How mako refuses a value of another type than it reads."""
DENIED = "org.freedesktop.DBus.Error.AccessDenied"


@dataclass(frozen=True)
class Profile:
    """How one server behaves."""

    name: str
    version: str
    capabilities: tuple[str, ...]
    vendor: str = "vendor"
    keeps_unknown_ids: bool = False
    """`replaces_id` of a notification that is not there: taken as the new id, instead of a fresh one."""
    keeps_given_ids: bool = False
    """The same of an id alone that it has given before."""
    tells_of_gone: bool = False
    """CloseNotification of what is not there is answered with NotificationClosed as well."""
    tells_owner_alone: bool = False
    """Signals go to the program that showed the notification last, instead of to everyone."""
    signals_twice: bool = False
    """Each signal goes to the sender and to everyone."""
    closes_twice: bool = False
    """NotificationClosed comes again with another reason, sooner or later."""
    guards_owners: bool = False
    """Closing or replacing what another program has shown is refused (InvalidArgs)."""
    knows_no_overloads: bool = False
    """A method called with arguments of other types is unknown, instead of called wrongly."""
    gives_tokens: bool = False
    closes_on_action: bool = False
    stacks_alike: bool = False
    """A notification takes the place of one with the same texts, icon and urgency, which counts as expired."""
    hint_types: Mapping[str, str] = field(default_factory=dict)
    """Types of the hints that it reads strictly: a value of another is refused. Other servers pass over what is odd."""
    wrong_type: str = WRONG_KIND
    """How it refuses these; of urgency the name is DENIED."""
    wants_labels: bool = False
    """An action without a label is refused."""
    replaces_nothing: bool = False
    told: str = ""
    """Where it tells of "do not disturb": "Inhibited", "paused", "swaync", "budgie" or "mako"; "": nowhere."""
    holds_critical: bool = False
    """ "Do not disturb" holds back what is critical, too."""
    refuses_alike: bool = False
    """The same notification again within a second is refused."""
    ignores_time: bool = False
    """Nothing expires, whatever is asked for."""
    expires_silently: bool = False
    """What expires stays in the list under its id, and nobody is told."""
    lists_expired: bool = False
    """What expires moves into a list, whose ids go on: it is changed there without coming up."""
    keeps_old_picture: bool = False
    """A replacement without a picture shows that of what it replaces."""
    asks_by_old_urgency: bool = False
    """A replacement asks for its banner by the urgency of what it replaces, and only if that has been seen."""
    lists_low: bool = False
    """What is of low urgency goes to the list alone."""
    drops_with_program: bool = False
    """The notifications of a program that names its desktop entry go when its connection to the bus ends, without a
    word."""
    sound_hints: tuple[str, ...] = ("sound-name", "sound-file")
    """By which it is asked for a sound; it passes over others."""
    drops_after_click: bool = False
    """It shows no button for the action that follows "default"."""
    keeps_old_buttons: bool = False
    """What replaces another has that one's buttons, if that has any."""
    most: int = 0
    """With one more than so many of a program's the oldest expires; 0: there may be any number."""

    def refusal(self, actions: Sequence[str], hints: Mapping[str, Variant]) -> str | None:
        """The D-Bus error with which it answers a Notify of these."""
        if self.wants_labels and len(actions) % 2:
            return WRONG_KIND
        for name, value in hints.items():
            if name in self.hint_types and value.signature not in self.hint_types[name].split():
                return DENIED if name == "urgency" else self.wrong_type
        return None

    def clickable(self, actions: Sequence[str], before: Sequence[str] = ()) -> tuple[str, ...]:
        """The keys that a user can choose of these actions; `before`: of what they take the place of."""
        if before and self.keeps_old_buttons:
            return tuple(before)
        keys = tuple(actions[::2])
        if self.drops_after_click and "default" in keys:
            click = keys.index("default")
            return (*keys[: click + 1], *keys[click + 2 :])
        return keys

    @property
    def keeps_silently(self) -> bool:
        """Nobody is told that a notification's time is over."""
        return self.ignores_time or self.expires_silently


DUNST = Profile(
    "dunst",
    "1.9.0 (2022-06-27)",
    ("actions", "body", "body-hyperlinks", "icon-static", "body-markup"),
    vendor="knopwob",
    keeps_unknown_ids=True,
    tells_owner_alone=True,
    stacks_alike=True,
    told="paused",
    holds_critical=True,
)
MAKO = Profile(
    "mako",
    "0.0.0",
    ("body", "body-markup", "actions", "icon-static"),
    vendor="emersion",
    hint_types={
        "urgency": "y u i",
        "image-data": "(iiibiiay)",
        "value": "i",
        **dict.fromkeys(("category", "desktop-entry", "image-path"), "s"),
    },
    wants_labels=True,
    told="mako",
    holds_critical=True,
)
XFCE = Profile(
    "Xfce Notify Daemon",
    "0.7.3",
    ("actions", "body", "body-hyperlinks", "body-markup", "icon-static"),
    vendor="Xfce",
    keeps_unknown_ids=True,
    closes_on_action=True,
)
GNOME = Profile(
    "gnome-shell",
    "48.7",
    ("actions", "body", "body-markup", "icon-static", "persistence", "sound"),
    guards_owners=True,
    signals_twice=True,
    ignores_time=True,
    hint_types={"image-data": "(iiibiiay)", "image-path": "s"},
    wrong_type="org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code24",
    gives_tokens=True,
    closes_on_action=True,
    asks_by_old_urgency=True,
    lists_low=True,
    drops_with_program=True,
    most=10,
    vendor="GNOME",
)
PLASMA = Profile(
    "Plasma",
    "6.3.6",
    (
        *("body", "body-hyperlinks", "body-markup", "icon-static", "actions", "persistence", "inline-reply"),
        "inhibitions",
    ),
    keeps_unknown_ids=True,
    tells_of_gone=True,
    gives_tokens=True,
    closes_on_action=True,
    lists_expired=True,
    keeps_old_picture=True,
    refuses_alike=True,
    knows_no_overloads=True,
    told="Inhibited",
    vendor="KDE",
)
SWAYNC = Profile(
    "SwayNotificationCenter",
    "0.11",
    ("actions", "body", "body-markup", "persistence", "inline-reply"),
    keeps_given_ids=True,
    tells_of_gone=True,
    closes_twice=True,
    gives_tokens=True,
    closes_on_action=True,
    told="swaync",
    expires_silently=True,
    vendor="ErikReider",
)
BUDGIE = Profile(
    "Budgie Notification Server",
    "10.9.2",
    ("action-icons", "actions", "body", "body-markup", "sound"),
    vendor="Budgie Desktop Developers",
    keeps_unknown_ids=True,
    sound_hints=("sound-name",),
    holds_critical=True,
    drops_after_click=True,
    told="budgie",
)
CINNAMON = Profile(
    "cinnamon",
    "6.4.10",
    ("actions", "action-icons", "body", "body-markup", "icon-static", "persistence", "sound"),
    vendor="GNOME",
    closes_on_action=True,
    holds_critical=True,
)
LXQT = Profile(
    "lxqt-notificationd",
    "2.1.0",
    ("actions", "body", "body-hyperlinks", "body-images", "body-markup", "persistence"),
    vendor="lxqt.org",
    knows_no_overloads=True,
    keeps_old_buttons=True,
    holds_critical=True,
    keeps_unknown_ids=True,
    closes_on_action=True,
)
MATE = Profile(
    "Notification Daemon",
    "1.26.1",
    ("actions", "action-icons", "body", "body-hyperlinks", "body-markup", "icon-static", "sound"),
    vendor="MATE",
    sound_hints=("sound-file",),
    holds_critical=True,
    closes_on_action=True,
)
PLAIN = Profile("plain", "1", ("body", "actions"))
BARE = Profile("bare", "1", ())
PROFILES = (DUNST, MAKO, XFCE, GNOME, PLASMA, SWAYNC, PLAIN, BARE)
