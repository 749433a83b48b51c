"""Lists what single notification servers do besides what the specification says, and where that is handled.

Everything is handled in this package, and for every server alike where that does no harm to the others:

- dunst, mako: a popup that was acted upon stays. We close it (`loops.delivery.signals`), whoever shows it.
- GNOME Shell: every signal comes twice, and those of other programs come, too. swaync: NotificationClosed comes twice,
  with two reasons. Each thing that happened is told once (`echoes`), and unknown ids mean nothing.
- dunst, Plasma, xfce4-notifyd, lxqt take over any id they are given. None of an earlier life is given (`server_watch`).
- GNOME Shell, notification-daemon refuse to close what is closed; Plasma, swaync tell again that it is (`freedesktop`).
- Plasma refuses the same notification within a second (`failures`).
- swaync closes before it tells what was typed: `loops.delivery.signals` remembers for a while what a popup was about.
- GNOME Shell shows three buttons and no more, none of them for the click itself (`core.popups.actions`).
- Markup, lengths and addresses of files: see `rendering`.

Only what would harm others depends on the server's name, and stands in this module.
"""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.notification import Notification, Urgency


def adapt(notification: Notification, server_title: str) -> Notification:
    """The notification, changed where this server would otherwise do harm with it. `title` is the server's name."""
    if notification.is_update and server_title.lower().startswith("gnome-shell"):
        # It brings every replacement up as a banner again, unless its urgency is low.
        return replace(notification, urgency=Urgency.LOW)
    return notification
