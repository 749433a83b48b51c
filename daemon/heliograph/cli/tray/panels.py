"""What each desktop needs to show an item in its tray."""

from __future__ import annotations

PANELS = (
    ("KDE Plasma", "nothing; an item without news is behind the arrow of the system tray"),
    ("GNOME", "the extension AppIndicator and KStatusNotifierItem Support (Ubuntu has it on)"),
    ("Cinnamon", "nothing; on Debian, the package xapp-sn-watcher"),
    ("Xfce", "the Status Tray Plugin in the panel"),
    ("LXQt", "the Status Notifier plugin in the panel"),
    ("MATE", "the package mate-indicator-applet, and its applet in the panel"),
    ("Budgie, COSMIC", "the tray's applet in the panel"),
    ("sway, Hyprland, niri", 'a bar with a tray, such as waybar with "tray" in one of its lists of modules'),
    ("i3bar, polybar, tint2", "snixembed: these bars know older trays only"),
)
"""Desktops, and what the user has to do."""
