"""Makes the arguments of org.freedesktop.Notifications.Notify from a notification, for what one server can do.

Source: Desktop Notifications Specification 1.3. How servers differ from it was measured on ten of them.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from dbus_fast import Variant

from heliograph.core.notification import Action, Notification, Picture
from heliograph.core.popups.actions import INLINE_REPLY, offer
from heliograph.core.popups.looks import Looks, fit_picture
from heliograph.core.popups.profile import SOUND_FILE, SOUND_NAME, ServerProfile
from heliograph.core.text.clean import clean_line, clean_text
from heliograph.core.text.markup import Span, change_indentation, read_markup, shorten, write_markup
from heliograph.desktop.identity import APP_NAME, DESKTOP_ENTRY, NOTIFYRC
from heliograph.desktop.sounds import Sound

SIGNATURE = "susssasa{sv}i"
SUMMARY_LIMIT = 200
BODY_LIMIT = 1000
"""mate-notification-daemon 1.26 did not answer to a title of 5,000 and a body of 60,000 characters within 25 s."""

_AS_THE_SERVER_LIKES = -1
_FIRM_SPACE = "\u00a0"


def render_notification(
    notification: Notification,
    capabilities: Collection[str],
    profile: ServerProfile,
    *,
    icon: str,
    replaces_id: int,
    sound: Sound | None = None,
) -> list[Any]:
    """The eight arguments of Notify, for `SIGNATURE`. `sound` is what the server is to play."""
    summary = clean_line(notification.summary, SUMMARY_LIMIT) or APP_NAME
    body = clean_text(notification.body, BODY_LIMIT)
    if "body" not in capabilities:
        # Such a server drops the body; the sender's name alone would say too little.
        summary, body = clean_line(f"{summary}: {body}" if body else summary, SUMMARY_LIMIT), ""
    elif "body-markup" in capabilities:
        # Only the body: every server shows "&amp;" in a summary as it stands. And always: what is left raw makes
        # lxqt lose text, xfce4-notifyd show nothing, and swaync and Plasma load local files named by <img>.
        body = _mark_up(notification.markup, body, profile.looks)
    elif profile.looks.hides_markup:
        # Escaped, it might be shown as it stands; as it stands, dunst drops what it cannot read between "<" and ">".
        body = body.replace("<", "‹")
    offered = offer(notification, capabilities, profile)
    actions = [text for action in offered for text in (action.key, action.label)]
    hints = _hints(notification, offered) | _sound_hints(sound)
    if notification.picture is not None:
        hints["image-data"] = _image_data(fit_picture(notification.picture, profile.looks.picture_side))
        icon = icon if profile.looks.has_icon_beside_picture else ""
    expire_ms = profile.quiet_ms if notification.is_update and profile.quiet_ms is not None else _AS_THE_SERVER_LIKES
    return [APP_NAME, replaces_id, icon, summary, body, actions, hints, expire_ms]


def _mark_up(markup: str, body: str, looks: Looks) -> str:
    """The body written anew from its markup, so that nothing but our three tags comes through, whoever wrote it.
    Without markup, the plain body is escaped."""
    styled = shorten(read_markup(markup), BODY_LIMIT) if markup else (Span(body),)
    # Servers that take markup for HTML drop other spaces at the beginning of a line, and code loses its indentation.
    written = write_markup(change_indentation(styled, lambda blanks: _FIRM_SPACE * len(blanks)))
    # Only where needed: GNOME Shell shows a character reference as it stands.
    return written if looks.keeps_spaces else written.replace(_FIRM_SPACE, f"&#{ord(_FIRM_SPACE)};")


def _hints(notification: Notification, offered: Collection[Action]) -> dict[str, Variant]:
    hints = {
        "urgency": Variant("y", int(notification.urgency)),
        "category": Variant("s", notification.category.value),
        "desktop-entry": Variant("s", DESKTOP_ENTRY),
        # Names the file by which Plasma offers to configure us, on the popup and in its settings.
        "x-kde-appname": Variant("s", NOTIFYRC),
        "transient": Variant("b", False),
    }
    # Plasma shows this beside our name, which tells accounts apart.
    if account := clean_line(notification.account, SUMMARY_LIMIT):
        hints["x-kde-origin-name"] = Variant("s", account)
    if any(action.key == INLINE_REPLY for action in offered):
        hints["x-kde-reply-placeholder-text"] = Variant("s", "Write a reply")
        hints["x-kde-reply-submit-button-text"] = Variant("s", "Send")
    return hints


def _image_data(picture: Picture) -> Variant:
    return Variant("(iiibiiay)", [picture.width, picture.height, picture.width * 4, True, 8, 4, picture.pixels])


def _sound_hints(sound: Sound | None) -> dict[str, Variant]:
    if sound is None:
        return {"suppress-sound": Variant("b", True)}
    if sound.file is not None:
        return {SOUND_FILE: Variant("s", str(sound.file))}
    return {SOUND_NAME: Variant("s", sound.name)}


def icon_for(icon_folders: Collection[Path], own_icon: Path) -> str:
    """The icon's name where its theme folder is among `icon_folders`, else the URI of our own file."""
    if any((folder / own_icon.name).is_file() for folder in icon_folders):
        return DESKTOP_ENTRY
    return own_icon.as_uri() if own_icon.is_file() else DESKTOP_ENTRY
