"""The profiles of the notification servers that people have, each with its reasons, and how one is chosen.

What a server says of itself names its profile. Everything else about servers is handled for all of them alike, where
that does no harm to any:

- dunst, mako: a popup that was acted upon stays. We close it (`loops.delivery.signals`), whoever shows it.
- GNOME Shell: every signal comes twice, and those of other programs come, too. swaync: NotificationClosed comes twice,
  with two reasons. Each thing that happened is told once (`desktop.echoes`), and unknown ids mean nothing.
- dunst, Plasma, xfce4-notifyd, lxqt take over any id they are given. None of an earlier life is given
  (`desktop.server_watch`).
- GNOME Shell refuses to close what another program has shown, and notification-daemon what is closed; Plasma, swaync
  tell again that it is (`desktop.freedesktop`).
- Plasma refuses the same notification within a second (`desktop.failures`).
- swaync closes before it tells what was typed: `loops.delivery.signals` remembers for a while what a popup was about.
- GNOME Shell shows three buttons and no more, none of them for the click itself (`core.popups.actions`).
- Markup, lengths and addresses of files: see `desktop.rendering`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from heliograph.core.notification import Urgency
from heliograph.core.popups.looks import SMALL, Looks
from heliograph.core.popups.profile import SAFE, SOUND_FILE, SOUND_NAME, Expiry, Layout, ServerProfile, Told, Update

GNOME = ServerProfile(
    "GNOME Shell",
    (
        # js/ui/notificationDaemon.js of 46 to 51: on `replaces_id` it says first that the notification is not seen yet,
        # which asks for a banner by the old urgency, and only if it had been seen; the new urgency comes after that.
        "what is new comes as a new notification: one that replaces another may get neither banner nor sound",
        "a change that nobody needs to see goes to its list alone, by low urgency",
        "its banner shows one line at first: the newest message stands there",
        "it drops what a program has shown when that ends: what is unread is put into its list again after a restart",
        # js/ui/messageTray.js: only what is critical is unfolded when it comes up.
        "a question has high urgency, without which its buttons are hidden until the pointer is on it",
    ),
    news=Update.RENEW,
    changes=Update.RENEW,
    quiet_urgency=Urgency.LOW,
    question_urgency=Urgency.CRITICAL,
    most_buttons=3,
    forgets_with_program=True,
    is_filled_again=True,
    told=Told.GNOME,
    looked_at="48, and by its source 46 to 51",
    layout=Layout(is_newest_first=True, line_break=" · "),
)
PLASMA = ServerProfile(
    "Plasma",
    (
        "it tells of its own do-not-disturb",
        "what expires moves into its history, and is closed and changed there as on screen",
        "what is new comes as a new notification: a replacement of what is in the history changes that alone",
        # Plasma 6.3: the popup's picture is set only if there is one.
        "without a picture it shows the one before: where there is none it gets our icon",
        # libnotificationmanager/notification.cpp of 5.27 and 6, sanitize(): simplified() takes U+00A0 for a blank, too.
        "it drops the indentation of lines, unless each space is a character reference",
    ),
    news=Update.RENEW,
    expiry=Expiry.LISTED,
    keeps_old_picture=True,
    told=Told.INHIBITED,
    looked_at="6.3, and by its source 5.27",
    looks=Looks(keeps_spaces=False),
)
DUNST = ServerProfile(
    "dunst",
    (
        "it tells whether it is paused",
        # src/icon.c, with min_icon_size 32 and max_icon_size 128 in the dunstrc that comes with it.
        "it shows pictures pixel for pixel: it gets small ones",
        # src/settings_data.h, notification.c of 1.10 to 1.12: unset, "markup" is "no" to others, and "full" to itself.
        "it takes texts for markup without saying so, unless its dunstrc has a line for that: < becomes ‹",
    ),
    told=Told.DUNST,
    holds_critical=True,
    looked_at="1.9 to 1.13",
    looks=Looks(picture_side=SMALL, hides_markup=True),
)
CINNAMON = ServerProfile(
    "Cinnamon",
    (
        # js/ui/notificationDaemon.js of 4 to 6: `image-data` beside `app_icon` is "a large image", of 125 pixels.
        "a picture beside an icon takes the room of the buttons: it gets the picture alone",
        # js/ui/messageTray.js of 6: a sound of its settings, which is off in the beginning, whatever the hints say.
        "it says that it plays sounds, and plays none that it is asked for: Heliograph plays them",
        # js/ui/messageTray.js of 6, _updateState(): what it has put into its list meanwhile counts as on screen still.
        "what is new comes as a new notification: a replacement of what do-not-disturb held back is not seen",
        "whatever replaces a notification comes up again, a change that nobody needs to see as well: without a sound",
    ),
    news=Update.RENEW,
    holds_critical=True,
    told=Told.CINNAMON,
    sound_hints=frozenset(),
    looked_at="6.4",
    looks=Looks(has_icon_beside_picture=False),
)

SWAYNC = ServerProfile(
    "SwayNotificationCenter",
    (
        'answers can be typed into it only with "notification-inline-replies": true in its config.json',
        # src/notiDaemon/notiDaemon.vala: a replacement whose popup is gone comes up again, whatever it says.
        "a change that nobody needs to see comes up for an instant, and stays in its list",
        "it tells of its own do-not-disturb",
    ),
    told=Told.SWAYNC,
    is_reply_configured=True,
    quiet_ms=1,
    looked_at="0.11, and by its source 0.12",
)
MAKO = ServerProfile(
    "mako",
    ('it tells of its modes: "do-not-disturb" and "dnd" count',),
    told=Told.MAKO,
    holds_critical=True,
    looked_at="1.7 to 1.10",
)
XFCE = ServerProfile(
    "xfce4-notifyd",
    ("a click on all of a popup is its button Open, beside which there is no Reply, which would do the same",),
    told=Told.XFCE,
    draws_click=True,
    looked_at="0.7 to 0.9",
)
LXQT = ServerProfile(
    "lxqt-notificationd",
    (
        "a click on all of a popup is its button Open, beside which there is no Reply, which would do the same",
        # src/notification.cpp, notificationwidgets.cpp: with four it takes a list to choose from, and a button OK.
        "it shows three buttons at most, with short labels",
        # src/notification.cpp, setValues(): actions are taken only while there are none.
        "what replaces another keeps its buttons: it comes as a new notification instead",
        "it tells nobody of do not disturb: its configuration file is read before anything new is shown",
    ),
    news=Update.RENEW,
    changes=Update.RENEW,
    told=Told.LXQT,
    holds_critical=True,
    draws_click=True,
    most_buttons=3,
    longest_label=8,
    looked_at="2.1",
)
MATE = ServerProfile(
    "mate-notification-daemon",
    (
        "it tells of do not disturb by the settings of MATE",
        # src/daemon/daemon.c of 1.26: "sound-file" is read, and "sound-name" is not.
        "it plays sounds by their files alone: it gets the file of the sound theme",
    ),
    told=Told.MATE,
    holds_critical=True,
    sound_hints=frozenset({SOUND_FILE}),
    looked_at="1.26",
)
COSMIC = ServerProfile("COSMIC", ("nobody has looked at it yet: notifications are shown in the plainest way",))
BUDGIE = ServerProfile(
    "Budgie",
    (
        "it tells of its own do-not-disturb",
        # src/daemon/notifications/popup.vala, ActionBox: its loop passes over two actions, not one, at "default".
        "it shows no button for the action after the click: the click comes last",
        "its buttons are as wide as the widest: longer labels would push its cross off the screen",
        # src/daemon/notifications/dbus.vala, maybe_play_sound(): "sound-file" is not read.
        "it plays sounds of the sound theme alone: Heliograph plays files",
    ),
    told=Told.BUDGIE,
    holds_critical=True,
    drops_after_click=True,
    longest_label=12,
    sound_hints=frozenset({SOUND_NAME}),
    looked_at="10.9",
)

_BY_NAME = {
    "gnome-shell": GNOME,
    "plasma": PLASMA,
    "dunst": DUNST,
    "cinnamon": CINNAMON,
    "swaynotificationcenter": SWAYNC,
    "mako": MAKO,
    "xfce notify daemon": XFCE,
    "lxqt-notificationd": LXQT,
    "notification daemon": MATE,
    "cosmic-notifications": COSMIC,
    "budgie notification server": BUDGIE,
}


def choose_profile(name: str, capabilities: Collection[str]) -> ServerProfile:
    """The profile of the server that gives itself this name, and says that it has these capabilities.

    A server of an unknown name gets the safe profile, with what its capabilities say of it.
    """
    profile = _BY_NAME.get(name.strip().lower(), SAFE)
    if profile.told is Told.NOWHERE and "inhibitions" in capabilities:
        return replace(profile, told=Told.INHIBITED)
    return profile


def word_profile(profile: ServerProfile) -> str:
    """Which profile a server has and why, for people: "known as dunst, by its name; looked at: 1.9 to 1.13"."""
    if profile.name == SAFE.name:
        return "not known here, by its name"
    return f"known as {profile.name}, by its name" + (f"; looked at: {profile.looked_at}" if profile.looked_at else "")
